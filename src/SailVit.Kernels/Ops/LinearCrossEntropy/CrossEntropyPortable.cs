using ILGPU;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

internal struct CrossEntropyScalars
{
    public long Classes;

    /// <summary>1 where logits become their gradient, else 0.</summary>
    public int Gradient;
}

/// <summary>Softmax of rows of logits on a device, a work-group per row: what the loss needs of it, and the logits replaced by
/// their gradient, factor·(softmax − one-hot).</summary>
internal static class CrossEntropyPortable<T, L>
    where T : unmanaged, IPortableElement<T>
    where L : unmanaged, ILanes
{
    /// <summary>Per row: the largest logit, Σ e^(logit − it), and the label's logit.</summary>
    public const int Results = 3;

    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    // A processor's one lane keeps as many results side by side as a vector holds: compilers may not reorder them by themselves.
    private const int MostParts = 16;

    private static int Parts => L.Count == 1 ? MostParts : 1;

    private static void Run(ArrayView<T> logits, ArrayView<long> labels, ArrayView<float> factors, ArrayView<float> results, CrossEntropyScalars s)
    {
        long row = Grid.IdxX, at = row * s.Classes, label = labels[row];
        float factor = factors[row], max = Max(logits, at, s.Classes);
        // Before a lane overwrites it: the sum has barriers.
        float own = T.Read(logits[at + label]);
        float sum = Sum(logits, at, s.Classes, max);
        if (Group.IdxX == 0)
        {
            results[row * Results] = max;
            results[(row * Results) + 1] = sum;
            results[(row * Results) + 2] = own;
        }
        if (s.Gradient == 0)
        {
            return;
        }
        // A row that counts nothing has no gradient, whatever its logits are.
        float scale = factor / sum, ownGradient = factor == 0 ? 0 : (scale * Exp(own - max)) - factor;
        for (long i = Group.IdxX; i < s.Classes; i += L.Count)
        {
            float gradient = scale * Exp(T.Read(logits[at + i]) - max);
            logits[at + i] = T.Write(i == label ? ownGradient : factor == 0 ? 0 : gradient);
        }
    }

    private static float Exp(float x) => SimdMath.Exp<PortableSimd, float>(x);

    private static float Max(ArrayView<T> logits, long at, long classes)
    {
        var parts = LocalMemory.Allocate<float>(MostParts);
        for (int p = 0; p < Parts; p++)
        {
            parts[p] = float.NegativeInfinity;
        }
        long i = Group.IdxX * Parts;
        for (; i + Parts <= classes; i += L.Count * Parts)
        {
            for (int p = 0; p < Parts; p++)
            {
                parts[p] = PortableSimd.Max(parts[p], T.Read(logits[at + i + p]));
            }
        }
        float max = parts[0];
        for (int p = 1; p < Parts; p++)
        {
            max = PortableSimd.Max(max, parts[p]);
        }
        for (; L.Count == 1 && i < classes; i++)
        {
            max = PortableSimd.Max(max, T.Read(logits[at + i]));
        }
        return Lanes.Max<L>(max);
    }

    private static float Sum(ArrayView<T> logits, long at, long classes, float max)
    {
        var totals = LocalMemory.Allocate<float>(MostParts);
        var parts = LocalMemory.Allocate<float>(MostParts);
        for (int p = 0; p < Parts; p++)
        {
            totals[p] = 0;
        }
        long i = Group.IdxX * Parts, step = L.Count * Parts;
        while (i + Parts <= classes)
        {
            for (int p = 0; p < Parts; p++)
            {
                parts[p] = 0;
            }
            for (int term = 0; term < Lanes.Block && i + Parts <= classes; term++)
            {
                for (int p = 0; p < Parts; p++)
                {
                    parts[p] += Exp(T.Read(logits[at + i + p]) - max);
                }
                i += step;
            }
            for (int p = 0; p < Parts; p++)
            {
                totals[p] += parts[p];
            }
        }
        float sum = 0, lost = 0;
        for (int p = 0; p < Parts; p++)
        {
            sum = Builtin.Add(sum, totals[p], ref lost);
        }
        for (; L.Count == 1 && i < classes; i++)
        {
            sum = Builtin.Add(sum, Exp(T.Read(logits[at + i]) - max), ref lost);
        }
        return Lanes.Sum<L>(Builtin.Total(sum, lost));
    }
}
