using SailVit.Kernels.Backends.OpenCl;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Key heads whose scratch memory a device gets at once: a whole batch's strips would take several times its tensors.</summary>
internal sealed class AttentionSlice(AttentionUnit[] units, long queryStrips, long keyStrips)
{
    // 64 MB of float32: enough work-groups for a large GPU.
    private const long MostFloats = 1 << 24;

    public AttentionUnit[] Units => units;

    public long QueryStrips => queryStrips;

    public long KeyStrips => keyStrips;

    /// <summary>All that a problem has to do, in slices of one key head or more.</summary>
    /// <param name="p">The problem.</param>
    /// <param name="perQuery">Scratch floats per query and query head.</param>
    /// <param name="perKey">Scratch floats per key.</param>
    public static unsafe List<AttentionSlice> Of(in AttentionProblem p, long perQuery, long perKey)
    {
        var slices = new List<AttentionSlice>();
        var units = new List<AttentionUnit>();
        long queryStrips = 0, keyStrips = 0;
        for (long item = 0; item < p.SequenceCount * p.KvHeads; item++)
        {
            ref readonly var sequence = ref p.Sequences[item / p.KvHeads];
            long queries = p.Group * AttentionUnit.StripsOf(sequence.Queries), keys = AttentionUnit.StripsOf(sequence.Keys);
            long floats = AttentionUnit.Strip * (((queryStrips + queries) * perQuery) + ((keyStrips + keys) * perKey));
            if (units.Count > 0 && floats > MostFloats)
            {
                slices.Add(new([.. units], queryStrips, keyStrips));
                units.Clear();
                (queryStrips, keyStrips) = (0, 0);
            }
            units.Add(new()
            {
                Batch = item / p.KvHeads,
                KvHead = item % p.KvHeads,
                FirstQuery = sequence.FirstQuery,
                Queries = sequence.Queries,
                FirstKey = sequence.FirstKey,
                Keys = sequence.Keys,
                KeysBefore = sequence.KeysBefore,
                QueryStrips = queryStrips,
                KeyStrips = keyStrips,
            });
            queryStrips += queries;
            keyStrips += keys;
        }
        if (units.Count > 0)
        {
            slices.Add(new([.. units], queryStrips, keyStrips));
        }
        return slices;
    }
}
