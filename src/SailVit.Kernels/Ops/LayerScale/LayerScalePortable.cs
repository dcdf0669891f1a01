using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.LayerScale;

/// <summary>Scalars of both kernels; see <see cref="LayerScaleArgs"/>. Flags are 0 or 1.</summary>
internal struct LayerScaleScalars
{
    public long ResidualStride;
    public long BranchStride;
    public long DyStride;
    public long Rows;
    public long RowsPerSample;
    public long RowsPerChunk;
    public long Width;
    public int HasKeep;
    public int WantsBranch;
    public int WantsPartials;
}

/// <summary>y = residual + keep·γ·branch on a device: a work-group per row. G: whether there is a γ.</summary>
internal static class LayerScalePortableForward<T, G, L>
    where T : unmanaged, IPortableElement<T>
    where G : unmanaged, IFlag
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<T> residual, ArrayView<T> branch, ArrayView<float> gamma, ArrayView<float> keep, ArrayView<T> y, LayerScaleScalars a)
    {
        long row = Grid.IdxX;
        float kept = a.HasKeep != 0 ? keep[row / a.RowsPerSample] : 1;
        for (long i = Group.IdxX; i < a.Width; i += L.Count)
        {
            float scale = G.IsSet ? kept * gamma[i] : kept;
            y[(row * a.Width) + i] = T.Write(Builtin.Fma(scale, T.Read(branch[(row * a.BranchStride) + i]), T.Read(residual[(row * a.ResidualStride) + i])));
        }
    }
}

/// <summary>d branch = keep·γ·dy and dγ = Σ keep·branch·dy on a device: a work-group per chunk of rows. G: whether there is a γ.</summary>
/// <remarks>A lane keeps to its channels, so that partial sums are added row by row without a race.</remarks>
internal static class LayerScalePortableBackward<T, G, L>
    where T : unmanaged, IPortableElement<T>
    where G : unmanaged, IFlag
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(
        ArrayView<T> branch, ArrayView<T> dy, ArrayView<float> gamma, ArrayView<float> keep, ArrayView<T> dBranch, ArrayView<float> partials, LayerScaleScalars a)
    {
        long partial = Grid.IdxX * a.Width;
        if (a.WantsPartials != 0)
        {
            for (long i = Group.IdxX; i < a.Width; i += L.Count)
            {
                partials[partial + i] = 0;
            }
        }
        long first = Grid.IdxX * a.RowsPerChunk, stop = Math.Min(a.Rows, first + a.RowsPerChunk);
        for (long row = first; row < stop; row++)
        {
            long from = row * a.DyStride, other = row * a.BranchStride, to = row * a.Width;
            float kept = a.HasKeep != 0 ? keep[row / a.RowsPerSample] : 1;
            if (a.WantsPartials != 0)
            {
                for (long i = Group.IdxX; i < a.Width; i += L.Count)
                {
                    partials[partial + i] = Builtin.Fma(kept * T.Read(dy[from + i]), T.Read(branch[other + i]), partials[partial + i]);
                }
            }
            if (a.WantsBranch != 0)
            {
                for (long i = Group.IdxX; i < a.Width; i += L.Count)
                {
                    float d = kept * T.Read(dy[from + i]);
                    dBranch[to + i] = T.Write(G.IsSet ? d * gamma[i] : d);
                }
            }
        }
    }
}
