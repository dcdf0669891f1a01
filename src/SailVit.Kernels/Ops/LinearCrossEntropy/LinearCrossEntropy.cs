using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.LinearCrossEntropy;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Cross-entropy of a language model's head, Σ w·CE(hidden·weightᵀ, label) / Σ w, without the [T, V] matrix of logits.</summary>
    /// <param name="hidden">[T, C] on the CPU, of any strides; float32, bfloat16 or float16.</param>
    /// <param name="weight">[V, C], the input's dtype: the head, or the tied embedding.</param>
    /// <param name="labels">[T], int64: 0 … V − 1, or <paramref name="ignore_index"/>.</param>
    /// <param name="weights">[T] float32, w of each label, not negative; null: 1. No gradient reaches it.</param>
    /// <param name="ignore_index">Rows with this label count nothing.</param>
    /// <param name="normalizer">Divides instead of Σ w: the sum over a whole global batch, say. Positive.</param>
    /// <returns>A float32 scalar; 0, with zero gradients, where nothing is to be learned.</returns>
    /// <exception cref="ArgumentException">A shape, dtype, device or label does not fit; the message says which.</exception>
    /// <remarks>
    /// Rows are processed in chunks of at most 256 MB of logits. Where gradients are wanted they are made on the way, chunk by
    /// chunk, since the logits are at hand: forward then costs what forward and backward cost, and backward only scales.
    /// Softmax, its sum and the loss are float32 or wider. Results do not depend on the number of threads.
    /// Source: Hsu et al. 2024, arXiv 2410.10989, §3.2 (fused linear cross-entropy).
    /// </remarks>
    public static Tensor linear_cross_entropy(Tensor hidden, Tensor weight, Tensor labels, Tensor? weights = null, long ignore_index = -100, double? normalizer = null)
    {
        var h = Check.Float(hidden);
        var w = Check.Float(weight);
        Check.Rank(h, 2, nameof(hidden), "[T, C]");
        Check.Rank(w, 2, nameof(weight), "[V, C]");
        Check.SameDType(w, h, nameof(weight), nameof(hidden));
        Check.Shape(w, [w.Size(0), h.Size(1)], nameof(weight));
        var rows = LabelRows.Read(labels, weights, h.Size(0), w.Size(0), ignore_index, normalizer);
        var options = new LinearCrossEntropyOptions(LinearDispatch.For(h.DType, h.Size(0), packed: false), rows);
        return LinearCrossEntropyFunction.NeedsGraph(hidden, weight)
            ? LinearCrossEntropyFunction.Run(options, hidden, weight)[0]
            : LinearCrossEntropyMath.Run(options, hidden, weight, hiddenWanted: false, weightWanted: false).Loss;
    }
}
