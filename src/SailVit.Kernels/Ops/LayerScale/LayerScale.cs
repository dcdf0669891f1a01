using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.LayerScale;
using SailVit.Kernels.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Adds a block's output to the residual stream, scaled per channel, dropped for some samples: one pass.</summary>
    /// <param name="residual">[B, …, C] on the CPU; float32, bfloat16 or float16. Rows are read by their stride; a layout
    /// that one row stride cannot reach is copied first.</param>
    /// <param name="branch">The block's output, of the same shape and dtype.</param>
    /// <param name="gamma">[C], the input's dtype or float32. Null: 1.</param>
    /// <param name="drop_path">Probability p of dropping the branch of a sample (an index of the first dimension), 0 … 1.
    /// Drawn from torch's generator.</param>
    /// <param name="training">Whether to drop; otherwise drop_path has no effect.</param>
    /// <returns>residual + keep / (1 − p) · γ · branch, row-major, of the same shape and dtype; keep is 0 or 1 per sample.</returns>
    /// <remarks>Float32 until the result is stored; dγ does not depend on the number of threads.
    /// Sources: Touvron et al. 2021, "Going deeper with Image Transformers"; Huang et al. 2016, "Deep Networks with Stochastic Depth".</remarks>
    public static Tensor layer_scale_add(Tensor residual, Tensor branch, Tensor? gamma = null, double drop_path = 0, bool training = false)
    {
        var r = Check.Float(residual);
        var b = Check.Float(branch);
        Check.MinRank(r, 1, nameof(residual), "[…, channels]");
        Check.Shape(b, r.Sizes, nameof(branch));
        Check.SameDType(b, r, nameof(branch), nameof(residual));
        if (gamma is not null)
        {
            Check.Parameter(gamma, r, [r.Size(-1)], nameof(gamma));
        }
        if (!(drop_path is >= 0 and <= 1))
        {
            Check.Throw(nameof(drop_path), $"is {drop_path}; it must be a probability, 0 to 1.");
        }
        using var keep = training && drop_path > 0 ? DrawKeep(r.Rank > 1 ? r.Size(0) : 1, drop_path) : null;
        return LayerScaleFunction.Apply(residual, branch, gamma, keep);
    }

    // A scale of 0 where everything is dropped: 0 / (1 − 1) would be NaN.
    private static Tensor DrawKeep(long samples, double p)
    {
        using var scope = NewDisposeScope();
        using Scalar dropped = p, rest = 1 - p;
        var kept = rand(samples).ge(dropped).to(float32);
        return (p < 1 ? kept / rest : kept).MoveToOuterDisposeScope();
    }
}
