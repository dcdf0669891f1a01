using BenchmarkDotNet.Attributes;
using SailVit.Kernels;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.MicroBench;

/// <summary>What every op pays before its kernel runs: reading a tensor, allocating its output, checking a packed weight.</summary>
public class Plumbing
{
    private readonly Tensor _x = randn(4, 16, 64);
    private readonly Tensor _weight = randn(64, 64);
    private PackedWeight _packed = null!;

    [GlobalSetup]
    public void Setup() => _packed = new(_weight);

    [GlobalCleanup]
    public void Cleanup()
    {
        _packed.Dispose();
        _weight.Dispose();
        _x.Dispose();
    }

    [Benchmark]
    public long TensorView() => new TensorView(_x).Length;

    /// <summary>The same facts through TorchSharp.</summary>
    [Benchmark]
    public long TorchSharpShapeAndStride() => _x.shape.Length + _x.stride().Length + (long)_x.dtype;

    [Benchmark]
    public void AllocateOutput() => Allocate.Empty([4, 16, 64], DType.Float32).Dispose();

    [Benchmark]
    public void TorchSharpEmpty() => empty(4, 16, 64).Dispose();

    [Benchmark]
    public bool PackedWeightIsCurrent() => _packed.IsCurrent(_weight);
}
