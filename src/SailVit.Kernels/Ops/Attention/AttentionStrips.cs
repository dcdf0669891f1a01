using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Launches <see cref="AttentionPack{T, L}"/> and <see cref="AttentionUnpack{T, L}"/> for a slice.</summary>
internal readonly unsafe struct AttentionStrips<T> where T : unmanaged, IPortableElement<T>
{
    private readonly AttentionProblem _problem;
    private readonly AttentionSlice _slice;
    private readonly HostArray _units;

    public AttentionStrips(in AttentionProblem problem, AttentionSlice slice, HostArray units)
    {
        (_problem, _slice, _units) = (problem, slice, units);
        for (long b = 0; b < problem.SequenceCount; b++)
        {
            ref readonly var sequence = ref problem.Sequences[b];
            LastQuery = Math.Max(LastQuery, sequence.FirstQuery + sequence.Queries);
            LastKey = Math.Max(LastKey, sequence.FirstKey + sequence.Keys);
        }
    }

    /// <summary>One more than the last row of any sequence.</summary>
    public long LastQuery { get; }

    public long LastKey { get; }

    /// <summary>Of queries, or of what is laid out like them; null where a layout is not wanted.</summary>
    public void Queries(in HeadTensor from, float sign, float* tokens, float* channels) =>
        Run(from, from.Array(_problem.SequenceCount, LastQuery, _problem.Heads, _problem.Width, false), _slice.QueryStrips, _problem.Group, false, sign, tokens, channels);

    /// <summary>Of keys or values.</summary>
    public void Keys(in HeadTensor from, float* tokens, float* channels) =>
        Run(from, from.Array(_problem.SequenceCount, LastKey, _problem.KvHeads, _problem.Width, false), _slice.KeyStrips, 1, true, 1, tokens, channels);

    /// <summary>factor · sums as the gradient of the queries.</summary>
    public void StoreQueries(float* sums, in HeadTensor to, float factor) =>
        Store(sums, to, to.Array(_problem.SequenceCount, LastQuery, _problem.Heads, _problem.Width, true), _slice.QueryStrips, _problem.Group, false, factor);

    /// <summary>factor · sums as the gradient of keys or values.</summary>
    public void StoreKeys(float* sums, in HeadTensor to, float factor) =>
        Store(sums, to, to.Array(_problem.SequenceCount, LastKey, _problem.KvHeads, _problem.Width, true), _slice.KeyStrips, 1, true, factor);

    private void Store(float* sums, in HeadTensor to, HostArray array, long strips, long group, bool ofKeys, float factor)
    {
        HostArray[] arrays = [_units, HostArray.Read(sums, strips * AttentionUnit.Strip * StripProduct.Padded(_problem.Width), sizeof(float)), array];
        var scalars = new UnpackScalars
        {
            Batch = to.Batch,
            Row = to.Row,
            Head = to.Head,
            Units = _slice.Units.Length,
            Group = group,
            Width = _problem.Width,
            OfKeys = ofKeys ? 1 : 0,
            Scale = factor,
        };
        OpenClRows.Run(AttentionUnpack<T, OneLane>.Kernel, AttentionUnpack<T, StripLanes>.Kernel, strips, arrays, scalars);
    }

    private void Run(in HeadTensor from, HostArray array, long strips, long group, bool ofKeys, float sign, float* tokens, float* channels)
    {
        long padded = StripProduct.Padded(_problem.Width), rows = strips * AttentionUnit.Strip;
        HostArray[] arrays =
        [
            array,
            _units,
            HostArray.Write(tokens, rows * _problem.Width, sizeof(float)),
            HostArray.Write(channels, rows * padded, sizeof(float)),
        ];
        var scalars = new PackScalars
        {
            Batch = from.Batch,
            Row = from.Row,
            Head = from.Head,
            Column = from.Column,
            Units = _slice.Units.Length,
            Group = group,
            Width = _problem.Width,
            OfKeys = ofKeys ? 1 : 0,
            WantsTokens = tokens == null ? 0 : 1,
            WantsChannels = channels == null ? 0 : 1,
            Sign = sign,
        };
        OpenClRows.Run(AttentionPack<T, OneLane>.Kernel, AttentionPack<T, StripLanes>.Kernel, strips, arrays, scalars);
    }
}
