using SailVit.Kernels.Ops.SwiGlu;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>silu(gate) · up, one pass each way.</summary>
    /// <param name="gate">Any shape on the CPU; float32, bfloat16 or float16. Rows are read by their stride; a layout that
    /// one row stride cannot reach is copied first.</param>
    /// <param name="up">Of the same shape and dtype.</param>
    /// <returns>Row-major, of the same shape and dtype.</returns>
    /// <remarks>Float32 until the result is stored. Saved: both arguments; the sigmoid is computed again in backward.
    /// Source: Shazeer 2020, "GLU Variants Improve Transformer".</remarks>
    public static Tensor swiglu(Tensor gate, Tensor up)
    {
        var g = Check.Float(gate);
        var u = Check.Float(up);
        Check.Shape(u, g.Sizes, nameof(up));
        Check.SameDType(u, g, nameof(up), nameof(gate));
        return SwiGluFunction.Apply(gate, up);
    }

    /// <summary>silu(first half) · (second half) of the last dimension: one linear layer for both.</summary>
    /// <param name="gate_up">[…, 2F] on the CPU; float32, bfloat16 or float16.</param>
    /// <returns>[…, F], row-major, of the same dtype. Its gradient comes back packed, [… , 2F].</returns>
    public static Tensor swiglu(Tensor gate_up)
    {
        var view = Check.Float(gate_up);
        Check.MinRank(view, 1, nameof(gate_up), "the last one being gate and up");
        if (view.Size(-1) % 2 != 0)
        {
            Check.Throw(nameof(gate_up), $"has shape {Check.Show(view.Sizes)}; the last dimension must be even: gate in the first half, up in the second.");
        }
        return SwiGluFunction.Apply(gate_up, null);
    }
}
