using System.Diagnostics;
using BenchmarkDotNet.Attributes;
using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.MicroBench;

/// <summary>A process from its start to the end of one op. Above the stock op's, it is what the JIT spends on the kernel.</summary>
[RunOncePerIteration, WarmupCount(1), IterationCount(5)]
public class FirstCall
{
    /// <summary>The argument that makes the new process run an op instead of benchmarks.</summary>
    internal const string Verb = "first-call";

    [Benchmark(Baseline = true)]
    public void StockLayerNorm() => RunInNewProcess(nameof(StockLayerNorm));

    [Benchmark]
    public void LayerNorm() => RunInNewProcess(nameof(LayerNorm));

    [Benchmark]
    public void Linear() => RunInNewProcess(nameof(Linear));

    [Benchmark]
    public void Attention() => RunInNewProcess(nameof(Attention));

    internal static void RunHere(string op)
    {
        using var scope = NewDisposeScope();
        var x = randn(4, 64);
        _ = op switch
        {
            nameof(StockLayerNorm) => nn.functional.layer_norm(x, [64]),
            nameof(LayerNorm) => functional.layer_norm(x, [64]),
            nameof(Linear) => functional.linear(x, randn(64, 64)),
            nameof(Attention) => functional.scaled_dot_product_attention(randn(1, 2, 8, 32), randn(1, 2, 8, 32), randn(1, 2, 8, 32)),
            _ => throw new ArgumentException($"{op} is no op of {nameof(FirstCall)}.", nameof(op)),
        };
    }

    private static void RunInNewProcess(string op)
    {
        using var process = Process.Start(Environment.ProcessPath!, [Verb, op]);
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"The process that runs {op} ended with {process.ExitCode}.");
        }
    }
}
