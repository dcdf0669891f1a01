using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>Reduces vectors to their two main directions (PCA).</summary>
public static class PrincipalPlane
{
    // Of 4,096 channels, 256 MB in float64.
    private const long RowsPerChunk = 8192;

    /// <summary>Projects rows onto the two directions in which they vary most.</summary>
    /// <param name="vectors">[N, C], N ≥ 1 and C ≥ 2; any floating dtype. Computed in float64, some thousand rows at a time.</param>
    /// <param name="cancel">Looked at between these.</param>
    /// <returns>[N, 2] float64, mean 0. The sign of a direction is such that its largest entry is positive.</returns>
    /// <exception cref="ArgumentException">Not a matrix of at least two columns.</exception>
    public static Tensor Project(Tensor vectors, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(vectors);
        if (vectors.dim() != 2 || vectors.shape[0] < 1 || vectors.shape[1] < 2)
        {
            throw new ArgumentException($"vectors has shape [{string.Join(", ", vectors.shape)}]; it must be [N, C] with at least 1 row and 2 columns.", nameof(vectors));
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        long width = vectors.shape[1];
        var mean = zeros(width, dtype: float64);
        Chunks(vectors, (_, rows) => mean.add_(rows.sum([0]), HeldScalar.One), cancel);
        using Scalar count = vectors.shape[0];
        mean = mean.div(count);
        // Covariance rather than a decomposition of all rows: an embedding table has 150,000.
        var covariance = zeros(width, width, dtype: float64);
        Chunks(vectors, (_, rows) =>
        {
            var centred = rows - mean;
            covariance.addmm_(centred.t(), centred);
        }, cancel);
        var (_, directions) = linalg.eigh(covariance);
        var axes = directions.narrow(1, width - 2, 2).flip(1);
        axes *= axes.gather(0, axes.abs().argmax(0, keepdim: true)).sign();
        var plane = empty(vectors.shape[0], 2, dtype: float64);
        Chunks(vectors, (first, rows) => plane.narrow(0, first, rows.shape[0]).copy_((rows - mean).matmul(axes)), cancel);
        return plane.MoveToOuterDisposeScope();
    }

    private static void Chunks(Tensor vectors, Action<long, Tensor> use, CancellationToken cancel)
    {
        for (long first = 0; first < vectors.shape[0]; first += RowsPerChunk)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            use(first, vectors.narrow(0, first, Math.Min(RowsPerChunk, vectors.shape[0] - first)).detach().to(float64));
        }
    }
}
