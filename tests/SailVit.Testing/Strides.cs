using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>The same values in other layouts. Every method returns a tensor equal to its argument, element by element.</summary>
public static class Strides
{
    /// <summary>A name for messages and the layout.</summary>
    public readonly record struct Layout(string Name, Func<Tensor, Tensor> Apply)
    {
        public override string ToString() => Name;
    }

    /// <summary>Layouts that any tensor can take.</summary>
    public static IReadOnlyList<Layout> All { get; } =
    [
        new("row-major", t => t.contiguous()),
        new("transposed", Transposed),
        new("reversed dimension order", Reversed),
        new("slice of wider rows", t => Sliced(t, 3)),
        new("every second channel", Stepped),
        new("offset by one element", t => Offset(t, 1)),
        new("absurd strides of size-1 dimensions", AbsurdSizeOne),
        new("inside NaN", t => Guarded(t, 5)),
    ];

    /// <summary>Last two dimensions swapped in memory.</summary>
    public static Tensor Transposed(Tensor t) => t.dim() < 2 ? t.contiguous() : t.transpose(-1, -2).contiguous().transpose(-1, -2);

    /// <summary>Column-major: the first dimension is adjacent.</summary>
    public static Tensor Reversed(Tensor t)
    {
        long[] order = [.. Enumerable.Range(0, (int)t.dim()).Reverse().Select(d => (long)d)];
        return t.permute(order).contiguous().permute(order);
    }

    /// <summary>Rows lie in wider rows, as the parts of a packed qkv do.</summary>
    public static Tensor Sliced(Tensor t, long factor)
    {
        if (t.dim() == 0)
        {
            return t;
        }
        var shape = t.shape;
        long width = shape[^1];
        shape[^1] = width * factor;
        var wide = Poison(shape, t.dtype);
        var part = wide.narrow(-1, width * (factor / 2), width);
        part.copy_(t);
        return part;
    }

    /// <summary>Neighbouring channels are two elements apart.</summary>
    public static Tensor Stepped(Tensor t)
    {
        if (t.dim() == 0)
        {
            return t;
        }
        var wide = Poison([.. t.shape, 2], t.dtype);
        var part = wide.select(-1, 0);
        part.copy_(t);
        return part;
    }

    /// <summary>Row-major, beginning <paramref name="elements"/> elements into its storage: misaligned to every vector width.</summary>
    public static Tensor Offset(Tensor t, long elements)
    {
        var storage = Poison([t.numel() + elements], t.dtype);
        var part = storage.narrow(0, elements, t.numel()).view(t.shape);
        part.copy_(t);
        return part;
    }

    /// <summary>Row-major with NaN (or the largest integer) before and after: a read out of bounds shows in the result.</summary>
    public static Tensor Guarded(Tensor t, long elements)
    {
        var storage = Poison([t.numel() + 2 * elements], t.dtype);
        var part = storage.narrow(0, elements, t.numel()).view(t.shape);
        part.copy_(t);
        return part;
    }

    /// <summary>Strides of size-1 dimensions are never walked, so they may hold anything.</summary>
    public static Tensor AbsurdSizeOne(Tensor t)
    {
        var dense = t.contiguous();
        var (shape, strides) = (dense.shape, dense.stride());
        for (int d = 0; d < shape.Length; d++)
        {
            strides[d] = shape[d] == 1 ? 1234567 + d : strides[d];
        }
        return dense.as_strided(shape, strides, dense.storage_offset());
    }

    /// <summary>All rows are one row in memory (stride 0): what <c>sum().backward()</c> sends back, and broadcast biases.
    /// The values are those of the first slice.</summary>
    public static Tensor Expanded(Tensor t) => t.dim() == 0 ? t : t.narrow(0, 0, Math.Min(1, t.shape[0])).contiguous().expand(t.shape);

    private static Tensor Poison(long[] shape, ScalarType dtype) => dtype switch
    {
        ScalarType.Float32 or ScalarType.BFloat16 or ScalarType.Float16 or ScalarType.Float64 => full(shape, double.NaN, dtype),
        ScalarType.Bool => ones(shape, dtype),
        _ => full(shape, 113, dtype),
    };
}
