using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Norm;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>The norm kernels on memory of their own: every element written, nothing beside it.</summary>
public sealed unsafe class NormKernelTests
{
    private const long Rows = 21;

    public static TheoryData<SimdWidth> Widths => [.. Cpu.Available];

    [Theory]
    [MemberData(nameof(Widths))]
    public void Outputs_AreWrittenWholeAndNothingElse(SimdWidth width)
    {
        using var forced = Cpu.Use(width);
        foreach (int n in Shapes.EdgeWidths)
        {
            Check<RootMeanSquare>(n, DType.Float32, float32);
            Check<Centered>(n, DType.Float32, float32);
            Check<Centered>(n, DType.BFloat16, bfloat16);
            Check<RootMeanSquare>(n, DType.Float16, float16);
        }
    }

    private static void Check<N>(long n, DType dtype, ScalarType type) where N : unmanaged, INormKind
    {
        using var scope = NewDisposeScope();
        var (x, dy, gamma) = (randn([Rows, n]).to(type), randn([Rows, n]).to(type), randn(n));
        int misaligned = dtype.Size();
        using var y = new Canary(Rows * n, type, misaligned);
        using var sum = new Canary(Rows * n, type, misaligned);
        using var dx = new Canary(Rows * n, type, misaligned);
        using var statistics = new Canary(Rows * RowStatistics.Count<N>(), float32, sizeof(float));
        var chunks = RowChunks.Of(Rows);
        using var partials = new Canary(chunks.Count * NormBackward<F32, F32, N>.PartialSize(n), float32, sizeof(float));
        NormLaunch<N>.Forward(
            new()
            {
                X = Data(x),
                XStride = n,
                Residual = Data(dy),
                ResidualStride = n,
                Gamma = (float*)Data(gamma),
                Beta = (float*)Data(gamma),
                Y = y.Pointer,
                Sum = sum.Pointer,
                Statistics = (float*)statistics.Pointer,
                Rows = Rows,
                Width = n,
                Eps = 1e-5,
            },
            dtype,
            dtype);
        NormLaunch<N>.Backward(
            new()
            {
                X = Data(x),
                XStride = n,
                Dy = Data(dy),
                DyStride = n,
                Gamma = (float*)Data(gamma),
                Statistics = (float*)statistics.Pointer,
                Dx = dx.Pointer,
                Partials = (float*)partials.Pointer,
                Rows = Rows,
                RowsPerChunk = chunks.RowsPerChunk,
                Width = n,
            },
            chunks.Count,
            dtype,
            dtype);
        foreach (var (name, buffer) in (ReadOnlySpan<(string, Canary)>)[("y", y), ("sum", sum), ("dx", dx), ("statistics", statistics), ("partials", partials)])
        {
            buffer.Check($"{N.Name} {name}, width {n}, {type}");
        }
    }

    private static byte* Data(Tensor t) => new TensorView(t).Data;
}
