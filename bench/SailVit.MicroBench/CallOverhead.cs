using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.MicroBench;

/// <summary>Ops on tensors so small that the call is nearly all of the time; the stock op beside each is 1.00.</summary>
[GroupBenchmarksBy(BenchmarkLogicalGroupRule.ByCategory)]
public abstract class CallOverhead
{
    private const int Rows = 4;
    private const int Width = 64;

    private Tensor _x = null!, _gamma = null!, _weight = null!, _q = null!, _k = null!, _v = null!;

    /// <summary>Whether gradients are wanted; a call then includes its backward pass.</summary>
    protected abstract bool Trains { get; }

    [GlobalSetup]
    public void Setup()
    {
        _x = Leaf(Rows, Width);
        _gamma = Leaf(Width);
        _weight = Leaf(Width, Width);
        (_q, _k, _v) = (Leaf(1, 2, 8, 32), Leaf(1, 2, 8, 32), Leaf(1, 2, 8, 32));
    }

    [GlobalCleanup]
    public void Cleanup() => Array.ForEach([_x, _gamma, _weight, _q, _k, _v], t => t.Dispose());

    [BenchmarkCategory("rms_norm"), Benchmark(Baseline = true)]
    public void StockRmsNorm() => Call(() => _x * (_x.pow(2).mean([-1], keepdim: true) + 1e-5).rsqrt() * _gamma);

    [BenchmarkCategory("rms_norm"), Benchmark]
    public void RmsNorm() => Call(() => functional.rms_norm(_x, [Width], _gamma, 1e-5));

    [BenchmarkCategory("linear"), Benchmark(Baseline = true)]
    public void StockLinear() => Call(() => nn.functional.linear(_x, _weight));

    [BenchmarkCategory("linear"), Benchmark]
    public void Linear() => Call(() => functional.linear(_x, _weight));

    [BenchmarkCategory("attention"), Benchmark(Baseline = true)]
    public void StockAttention() => Call(() => nn.functional.scaled_dot_product_attention(_q, _k, _v));

    [BenchmarkCategory("attention"), Benchmark]
    public void Attention() => Call(() => functional.scaled_dot_product_attention(_q, _k, _v));

    private Tensor Leaf(params long[] shape) => randn(shape, requires_grad: Trains);

    // Results die at once on both sides alike, so that the allocator hands out the same memory again.
    private void Call(Func<Tensor> op)
    {
        using var scope = NewDisposeScope();
        var y = op();
        if (Trains)
        {
            y.sum().backward();
        }
    }
}

/// <summary>Forward, without gradients.</summary>
public class InferenceOverhead : CallOverhead
{
    protected override bool Trains => false;
}

/// <summary>Forward, sum and backward, with gradients of all inputs.</summary>
public class TrainingOverhead : CallOverhead
{
    protected override bool Trains => true;
}
