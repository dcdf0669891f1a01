using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>What backward needs of a row of queries: five floats, in strips of 32 rows.</summary>
internal static class QueryRow
{
    public const int Fields = 5;

    /// <summary>The row's largest score.</summary>
    public const int Max = 0;

    /// <summary>1/sum in two parts: its rounding would be common to the whole row. 0 where there is nothing to attend to.</summary>
    public const int High = 1 * AttentionUnit.Strip;

    public const int Low = 2 * AttentionUnit.Strip;

    /// <summary>Σ_d dO∘O.</summary>
    public const int Delta = 3 * AttentionUnit.Strip;

    /// <summary>Gradient of the log-sum-exp.</summary>
    public const int LseGrad = 4 * AttentionUnit.Strip;

    public static long At(long strip) => strip * (Fields * AttentionUnit.Strip);
}

/// <summary>Fills <see cref="QueryRow"/>, and clears the incoming gradient of rows that attend to nothing: a work-group per strip of queries.</summary>
internal static class AttentionPortableRows<L> where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>One per number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <param name="units">What there is to do.</param>
    /// <param name="output">Strips by channels.</param>
    /// <param name="gradTokens">dO by tokens.</param>
    /// <param name="gradChannels">dO by channels.</param>
    /// <param name="statistics">Maxima by row, then sums.</param>
    /// <param name="gradLse">By row; read where it is wanted.</param>
    /// <param name="rows">What is made of them.</param>
    /// <param name="a">Scalars.</param>
    private static void Run(
        ArrayView<AttentionUnit> units, ArrayView<float> output, ArrayView<float> gradTokens, ArrayView<float> gradChannels, ArrayView<float> statistics,
        ArrayView<float> gradLse, ArrayView<float> rows, AttentionScalars a)
    {
        var p = StripPlace.OfQueries(units, a.Units, a.Group, Grid.IdxX);
        long count = Math.Min(Strip, p.Unit.Queries - p.First), step = StripProduct.ChannelStep(p), first = StripProduct.ChannelsAt(p, a.Width) + (p.First * Strip);
        long to = QueryRow.At(p.Index);
        var partial = SharedMemory.Allocate<float>(Strip * (Vector16.Width + 1));
        for (long r = Group.IdxX; r < Strip; r += L.Count)
        {
            float max = 0, total = 0, lse = 0, delta = 0;
            if (r < count)
            {
                long at = a.Statistic(p, p.First + r);
                max = statistics[at];
                total = statistics[a.StatisticsLength + at];
                lse = a.WantsLse != 0 && total != 0 ? gradLse[at] : 0;
                if (total == 0)
                {
                    Clear(gradTokens, (p.Index * a.Width * Strip) + r, gradChannels, first + (r * Strip), step, a.Width);
                }
                else if (total == 1)
                {
                    // Where one key has all the weight, dO·V and Δ must be the same number, not only nearly.
                    delta = DotAsMultiplied(gradChannels, output, first + (r * Strip), step, a.Width);
                }
                else
                {
                    delta = Dot(gradChannels, output, first + (r * Strip), step, a.Width, partial, r * (Vector16.Width + 1));
                }
            }
            float inverse = total == 0 ? 0 : 1 / total;
            rows[to + QueryRow.Max + r] = max;
            rows[to + QueryRow.High + r] = inverse;
            rows[to + QueryRow.Low + r] = inverse * Builtin.Fma(-total, inverse, 1);
            rows[to + QueryRow.Delta + r] = delta;
            rows[to + QueryRow.LseGrad + r] = lse;
        }
    }

    // Its output is constant, whatever comes in.
    private static void Clear(ArrayView<float> tokens, long tokenAt, ArrayView<float> channels, long channelAt, long step, long width)
    {
        for (long d = 0; d < width; d++)
        {
            tokens[tokenAt + (d * Strip)] = 0;
            channels[channelAt + (d / Strip * step) + (d % Strip)] = 0;
        }
    }

    /// <summary>Σ a·b in the order of dO·Vᵀ, to the bit.</summary>
    private static float DotAsMultiplied(ArrayView<float> a, ArrayView<float> b, long at, long step, long width)
    {
        float total = 0;
        for (long block = 0; block < width; block += AttentionScores.SlopeDepth)
        {
            long from = at + (block / Strip * step) + (block % Strip), depth = Math.Min(AttentionScores.SlopeDepth, width - block);
            float sum = 0;
            for (long d = 0; d < depth; d++)
            {
                sum = Builtin.Fma(a[from + d], b[from + d], sum);
            }
            total += sum;
        }
        return total;
    }

    /// <summary>Σ a·b with what each operation loses, as the float64 sum of the CPU: rows end in zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Dot(ArrayView<float> a, ArrayView<float> b, long at, long step, long width, ArrayView<float> partial, long partialAt)
    {
        Vector16 sum = Vector16.Zero, lost = sum;
        for (long d = 0; d < width; d += Vector16.Width)
        {
            long from = at + (d / Strip * step) + (d % Strip);
            Vector16 x = Vector16.Load(a, from), y = Vector16.Load(b, from), product = x * y;
            var next = sum + product;
            // Knuth's sum: what is lost of either, without a condition.
            var part = next - sum;
            lost = lost + Vector16.Fma(x, y, -product) + ((sum - (next - part)) + (product - part));
            sum = next;
        }
        sum.Store(partial, partialAt);
        float total = 0, rest = Vector16.Sum(lost);
        for (long i = 0; i < Vector16.Width; i++)
        {
            total = Builtin.Add(total, partial[partialAt + i], ref rest);
        }
        // Of an infinite product the loss is not a number.
        return Builtin.Total(total, rest);
    }
}
