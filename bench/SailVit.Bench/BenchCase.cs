using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>What one call does.</summary>
public enum Direction
{
    /// <summary>Outputs only, no graph recorded.</summary>
    Forward,

    /// <summary>Outputs and the gradients of all inputs.</summary>
    ForwardBackward,
}

/// <summary>The least that a call must do, for the fraction of the machine's limit that it reaches.</summary>
/// <param name="Flops">Floating-point operations; a multiply-add counts two.</param>
/// <param name="Bytes">Bytes that must be read and written once.</param>
public readonly record struct Work(double Flops, double Bytes)
{
    /// <summary>A pass over memory: so many tensors of one shape read and written.</summary>
    public static Work Elements(ScalarType dtype, int reads, int writes, params ReadOnlySpan<long> shape)
    {
        double count = 1;
        foreach (long size in shape)
        {
            count *= size;
        }
        return new(0, (reads + writes) * count * dtype.ElementSize());
    }

    /// <summary>A matrix product [m, k] × [k, n], each matrix touched once.</summary>
    public static Work MatrixProduct(ScalarType dtype, double m, double n, double k) =>
        new(2 * m * n * k, (m * k + k * n + m * n) * dtype.ElementSize());

    /// <summary>Both, one after the other.</summary>
    public static Work operator +(Work a, Work b) => Add(a, b);

    /// <summary>Both, one after the other.</summary>
    public static Work Add(Work left, Work right) => new(left.Flops + right.Flops, left.Bytes + right.Bytes);

    /// <summary>The same several times.</summary>
    public static Work operator *(double times, Work work) => Multiply(times, work);

    /// <summary>The same several times.</summary>
    public static Work Multiply(double left, Work right) => new(left * right.Flops, left * right.Bytes);
}

/// <summary>One row of a benchmark: an op at one shape, dtype and direction, against its baseline.</summary>
public sealed record BenchCase
{
    /// <summary>Name of the op.</summary>
    public required string Op { get; init; }

    /// <summary>Shape as the table shows it: sizes joined by x, options after a space.</summary>
    public required string Shape { get; init; }

    /// <summary>Storage type.</summary>
    public required ScalarType DType { get; init; }

    /// <summary>Forward, or forward and backward.</summary>
    public required Direction Direction { get; init; }

    /// <summary>Work of one call.</summary>
    public required Work Work { get; init; }

    /// <summary>The stock ops compared with.</summary>
    public required string Baseline { get; init; }

    /// <summary>Whether our side runs on the processor whatever backend is in use.</summary>
    public bool IsCpuOnly { get; init; }

    /// <summary>Allocates inputs and prepares both sides.</summary>
    public required Func<BenchPair> Create { get; init; }
}

/// <summary>An op described once for both directions.</summary>
public sealed record OpBench
{
    /// <summary>Name of the op.</summary>
    public required string Op { get; init; }

    /// <summary>Shape as the table shows it.</summary>
    public required string Shape { get; init; }

    /// <summary>Storage type of inputs and outputs.</summary>
    public required ScalarType DType { get; init; }

    /// <summary>Allocates the arguments. Floating-point ones get gradients; null entries are absent arguments.</summary>
    public required Func<Tensor?[]> Inputs { get; init; }

    /// <summary>Our op on the inputs.</summary>
    public required Func<Tensor[], Tensor[]> Ours { get; init; }

    /// <summary>For forward, instead of <see cref="Ours"/>: prepares once (packs weights) and returns the call.</summary>
    public Func<Tensor[], Func<Tensor[]>>? OursPrepared { get; init; }

    /// <summary>The same by stock TorchSharp ops; also run in float64 as the reference.</summary>
    public required Func<Tensor[], Tensor[]> Stock { get; init; }

    /// <summary>Names the stock ops.</summary>
    public required string Baseline { get; init; }

    /// <summary>Work of the forward pass.</summary>
    public required Work Forward { get; init; }

    /// <summary>Work of the backward pass alone; null where only forward is measured.</summary>
    public Work? Backward { get; init; }

    /// <summary>Which inputs get gradients; null for every floating-point one.</summary>
    public bool[]? Differentiable { get; init; }

    /// <summary>One case per direction.</summary>
    public IEnumerable<BenchCase> Cases()
    {
        yield return Case(Direction.Forward, Forward);
        if (Backward is { } backward)
        {
            yield return Case(Direction.ForwardBackward, Forward + backward);
        }
    }

    private BenchCase Case(Direction direction, Work work) => new()
    {
        Op = Op,
        Shape = Shape,
        DType = DType,
        Direction = direction,
        Work = work,
        Baseline = Baseline,
        Create = () => new OpPair(this, direction),
    };
}
