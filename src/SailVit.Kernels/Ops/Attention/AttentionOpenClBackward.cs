using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Scratch of one slice's backward pass: strips of the operands in both layouts, and what is added up.</summary>
internal readonly unsafe struct AttentionBackwardStrips(float* memory, long queries, long keys, long padded)
{
    private readonly long _query = queries * padded;
    private readonly long _key = keys * padded;

    public float* QueryTokens => memory;

    public float* QueryChannels => memory + _query;

    public float* GradTokens => memory + (2 * _query);

    public float* GradChannels => memory + (3 * _query);

    /// <summary>The output by channels, then the gradient of the queries.</summary>
    public float* QuerySums => memory + (4 * _query);

    public float* Rows => memory + (5 * _query);

    private float* Keys => Rows + (queries * QueryRow.Fields);

    public float* KeyTokens => Keys;

    public float* KeyChannels => Keys + _key;

    public float* ValueTokens => Keys + (2 * _key);

    public float* ValueChannels => Keys + (3 * _key);

    public float* KeySums => Keys + (4 * _key);

    public float* ValueSums => Keys + (5 * _key);

    public static long PerQuery(long padded) => (5 * padded) + QueryRow.Fields;

    public static long PerKey(long padded) => 6 * padded;

    public HostArray OfQueries(float* part) => HostArray.Read(part, _query, sizeof(float));

    public HostArray OfKeys(float* part) => HostArray.Read(part, _key, sizeof(float));

    public HostArray OfRows(bool isWritten) => new((nint)Rows, queries * QueryRow.Fields, sizeof(float), isWritten);
}

/// <summary>Launches the gradients of attention for one slice of the batch's heads.</summary>
internal readonly unsafe ref struct AttentionOpenClBackward
{
    private readonly ref readonly AttentionProblem _p;
    private readonly ref readonly AttentionGradients _into;
    private readonly AttentionSlice _slice;
    private readonly HostArray _units;
    private readonly AttentionBackwardStrips _s;
    private readonly bool _many = OpenClRows.UsesManyLanes;

    private AttentionOpenClBackward(in AttentionProblem problem, in AttentionGradients into, AttentionSlice slice, HostArray units, AttentionBackwardStrips strips)
    {
        _p = ref problem;
        _into = ref into;
        (_slice, _units, _s) = (slice, units, strips);
    }

    /// <summary>Gradients of queries, keys, values, and of a bias if there is one.</summary>
    public static void Run<T, M>(in AttentionProblem problem, in AttentionGradients into, in BiasGradient bias, AttentionSlice slice)
        where T : unmanaged, IPortableElement<T>
        where M : unmanaged, IMaskElement<M>
    {
        long padded = StripProduct.Padded(problem.Width), queries = slice.QueryStrips * AttentionUnit.Strip, keys = slice.KeyStrips * AttentionUnit.Strip;
        long bytes = ((queries * AttentionBackwardStrips.PerQuery(padded)) + (keys * AttentionBackwardStrips.PerKey(padded))) * sizeof(float);
        using var lease = Workspace.Rent(bytes);
        using var scratch = DeviceMemory.AddScratch(lease.Pointer, bytes);
        fixed (AttentionUnit* units = slice.Units)
        {
            var run = new AttentionOpenClBackward(problem, into, slice, HostArray.Read(units, slice.Units.Length, sizeof(AttentionUnit)), new(lease.Floats, queries, keys, padded));
            run.Pack<T>();
            run.Rows();
            run.Queries<M>();
            run.Keys<M>();
            if (bias.Exists)
            {
                run.Bias<M>(bias);
            }
            run.Unpack<T>();
        }
    }

    private HostArray Left(float* tokens, float* channels, bool keys) => keys ? _s.OfKeys(_many ? tokens : channels) : _s.OfQueries(_many ? tokens : channels);

    private static HostArray Written(HostArray array) => array with { IsWritten = true };

    private void Pack<T>() where T : unmanaged, IPortableElement<T>
    {
        var strips = new AttentionStrips<T>(_p, _slice, _units);
        strips.Queries(_p.Q, _p.QuerySign, _s.QueryTokens, _s.QueryChannels);
        strips.Queries(_into.GradOutput, 1, _s.GradTokens, _s.GradChannels);
        strips.Queries(_into.Output, 1, null, _s.QuerySums);
        strips.Keys(_p.K, _s.KeyTokens, _s.KeyChannels);
        strips.Keys(_p.V, _s.ValueTokens, _many ? null : _s.ValueChannels);
    }

    private void Rows()
    {
        HostArray[] arrays =
        [
            _units,
            _s.OfQueries(_s.QuerySums),
            Written(_s.OfQueries(_s.GradTokens)),
            Written(_s.OfQueries(_s.GradChannels)),
            HostArray.Read(_into.Statistics, 2 * _into.StatisticsLength, sizeof(float)),
            HostArray.Read(_into.GradLse, _into.StatisticsLength, sizeof(float)),
            _s.OfRows(true),
        ];
        var scalars = AttentionOpenCl.Scalars(_p, _slice);
        scalars.StatisticsLength = _into.StatisticsLength;
        scalars.WantsLse = _into.GradLse == null ? 0 : 1;
        OpenClRows.Run(AttentionPortableRows<OneLane>.Kernel, AttentionPortableRows<StripLanes>.Kernel, _slice.QueryStrips, arrays, scalars);
    }

    private void Queries<M>() where M : unmanaged, IMaskElement<M>
    {
        HostArray[] arrays =
        [
            _units, Left(_s.QueryTokens, _s.QueryChannels, false), Left(_s.GradTokens, _s.GradChannels, false), _s.OfKeys(_s.KeyTokens), _s.OfKeys(_s.ValueTokens),
            _s.OfKeys(_s.KeyChannels), _p.Mask.Array(), _s.OfRows(true), Written(_s.OfQueries(_s.QuerySums)),
        ];
        OpenClRows.Run(
            AttentionPortableQueries<M, RowPair<RowPair<RowTile>>, OneLane>.Kernel, AttentionPortableQueries<M, RowTile, StripLanes>.Kernel,
            _slice.QueryStrips, arrays, AttentionOpenCl.Scalars(_p, _slice));
    }

    private void Keys<M>() where M : unmanaged, IMaskElement<M>
    {
        HostArray[] arrays =
        [
            _units, Left(_s.KeyTokens, _s.KeyChannels, true), Left(_s.ValueTokens, _s.ValueChannels, true), _s.OfQueries(_s.QueryTokens), _s.OfQueries(_s.GradTokens),
            _s.OfQueries(_s.QueryChannels), _s.OfQueries(_s.GradChannels), _p.Mask.Array(), _s.OfRows(false),
            Written(_s.OfKeys(_s.KeySums)), Written(_s.OfKeys(_s.ValueSums)),
        ];
        OpenClRows.Run(
            AttentionPortableKeys<M, RowPair<RowPair<RowTile>>, OneLane>.Kernel, AttentionPortableKeys<M, RowTile, StripLanes>.Kernel,
            _slice.KeyStrips, arrays, AttentionOpenCl.Scalars(_p, _slice));
    }

    private void Bias<M>(in BiasGradient bias) where M : unmanaged, IMaskElement<M>
    {
        HostArray[] arrays =
        [
            _units, Left(_s.QueryTokens, _s.QueryChannels, false), Left(_s.GradTokens, _s.GradChannels, false), _s.OfKeys(_s.KeyTokens), _s.OfKeys(_s.ValueTokens),
            _p.Mask.Array(), _s.OfRows(false), bias.Array(),
        ];
        // A bias belongs to sequences of one length.
        ref readonly var sequence = ref _p.Sequences[0];
        var scalars = new BiasScalars
        {
            Attention = AttentionOpenCl.Scalars(_p, _slice),
            Batch = bias.Batch,
            Head = bias.Head,
            Query = bias.Query,
            Key = bias.Key,
            QueryStrips = bias.Query == 0 ? 1 : AttentionUnit.StripsOf(sequence.Queries),
            KeyStrips = bias.Key == 0 ? 1 : AttentionUnit.StripsOf(sequence.Keys),
            Heads = bias.Head == 0 ? 1 : _p.Heads,
        };
        long groups = (bias.Batch == 0 ? 1 : _p.SequenceCount) * scalars.Heads * scalars.QueryStrips * scalars.KeyStrips;
        OpenClRows.Run(AttentionPortableBias<M, RowPair<RowPair<RowTile>>, OneLane>.Kernel, AttentionPortableBias<M, RowTile, StripLanes>.Kernel, groups, arrays, scalars);
    }

    private void Unpack<T>() where T : unmanaged, IPortableElement<T>
    {
        var strips = new AttentionStrips<T>(_p, _slice, _units);
        strips.StoreQueries(_s.QuerySums, _into.Q, (float)_p.Scale);
        // Prepared queries hold the scale's sign.
        strips.StoreKeys(_s.KeySums, _into.K, _p.Magnitude);
        strips.StoreKeys(_s.ValueSums, _into.V, 1);
    }
}
