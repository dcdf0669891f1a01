using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Rotary;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Rotary position embedding: turns each pair of channels by an angle that grows with the token's position.</summary>
    /// <param name="x">[T, H, D] on the CPU, D even; float32, bfloat16 or float16. Any strides; rows of adjacent channels are
    /// read in place.</param>
    /// <param name="cos">[P, D/2], float32: cosines of the angles of each position.</param>
    /// <param name="sin">[P, D/2], float32.</param>
    /// <param name="positions">[T], int64: which row of the tables a token uses, 0 … P − 1.</param>
    /// <returns>[T, H, D], row-major, in the dtype of <paramref name="x"/>: with halves (a, b) of a head's channels,
    /// (a·cos − b·sin, b·cos + a·sin).</returns>
    /// <exception cref="ArgumentException">A shape, dtype or position does not fit; the message says which.</exception>
    /// <remarks>
    /// Channel i is paired with channel i + D/2, as in Llama and Qwen; adjacent pairs (GPT-J) are another op.
    /// Two-dimensional positions are tables whose columns follow a row in one part and a column in the other.
    /// Float32 until the result is stored. The gradient turns back. Source: Su et al. 2021 (RoFormer), eq. 34.
    /// </remarks>
    public static Tensor rotary_embedding(Tensor x, Tensor cos, Tensor sin, Tensor positions)
    {
        var view = Check.Float(x);
        Check.Rank(view, 3, nameof(x), "[T, H, D]");
        if (view.Size(2) % 2 != 0)
        {
            Check.Throw(nameof(x), $"has shape {Check.Show(view.Sizes)}; the channels of a head must be even, they turn in pairs.");
        }
        var table = CheckTable(cos, nameof(cos), view.Size(2) / 2);
        Check.Shape(CheckTable(sin, nameof(sin), view.Size(2) / 2), table.Sizes, nameof(sin));
        CheckPositions(positions, view.Size(0), table.Size(0));
        return RotaryFunction.Apply(x, cos, sin, positions);
    }

    private static TensorView CheckTable(Tensor table, string name, long half)
    {
        var view = Check.Float(table, name);
        Check.Rank(view, 2, name, "[P, D/2]");
        Check.Shape(view, [view.Size(0), half], name);
        if (view.DType != DType.Float32)
        {
            Check.Throw(name, $"has dtype {view.DType}; it must be Float32, also beside 16-bit queries: an angle's rounding error is its position's.");
        }
        return view;
    }

    private static unsafe void CheckPositions(Tensor positions, long tokens, long rows)
    {
        var view = Check.View(positions);
        if (view.DType != DType.Int64)
        {
            Check.Throw(nameof(positions), $"has dtype {view.DType}; it must be Int64.");
        }
        Check.Shape(view, [tokens], nameof(positions));
        for (long t = 0; t < tokens; t++)
        {
            long position = ((long*)view.Data)[t * view.Stride(0)];
            if ((ulong)position >= (ulong)rows)
            {
                Check.Throw(nameof(positions), $"holds {position} at entry {t}; it must lie in 0 … {rows - 1}, the rows of cos and sin.");
            }
        }
    }
}
