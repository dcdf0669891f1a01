using System.Globalization;
using SailVit.Kernels;
using SailVit.Model.Data;
using SailVit.Model.Language;
using SailVit.Model.Training;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

/// <summary>A model of two matrices that learns which token follows which, and the tokens.</summary>
internal sealed class ToyModel : IDisposable
{
    public const int Vocabulary = 24;
    private const int Width = 16;

    public ToyModel(ScalarType dtype = ScalarType.Float32)
    {
        using var generator = new Generator(3);
        Embedding = nn.Parameter(randn([Vocabulary, Width], generator: generator).to(dtype));
        Head = nn.Parameter(randn([Vocabulary, Width], generator: generator).mul(0.3).to(dtype));
    }

    /// <summary>Whether the loss draws from torch's own generator: a resumed run must draw the same.</summary>
    public bool Noise { get; init; } = true;

    public Parameter Embedding { get; }

    public Parameter Head { get; }

    public MasterAdamW Optimizer(double rate = 0.02) => new([new("toy", [("embedding", Embedding), ("head", Head)], rate, 0.01)]);

    public Tensor Loss(PackedBatch batch)
    {
        long count = batch.Ids.numel();
        var hidden = Embedding[batch.Ids.narrow(0, 0, count - 1)];
        hidden = Noise ? hidden + (randn_like(hidden) * 0.01) : hidden;
        return functional.linear_cross_entropy(hidden, Head, batch.Labels.narrow(0, 1, count - 1), batch.Weights.narrow(0, 1, count - 1));
    }

    public void Dispose()
    {
        Embedding.Dispose();
        Head.Dispose();
    }
}

/// <summary>Batch i depends on i alone.</summary>
internal sealed class ToySource(int stride = 1, int offset = 0) : IBatchSource
{
    private long _next;

    /// <summary>Batches with these numbers make a loss that is not finite.</summary>
    public HashSet<long> Bad { get; init; } = [];

    /// <summary>Batches with these numbers have no label.</summary>
    public HashSet<long> Unlearned { get; init; } = [];

    public PackedBatch Next()
    {
        long number = (_next++ * stride) + offset;
        int count = 8 + (int)(number % 5);
        var tokens = new long[count];
        tokens[0] = number * 7 % ToyModel.Vocabulary;
        for (int i = 1; i < count; i++)
        {
            tokens[i] = ((tokens[i - 1] * 5) + 1) % ToyModel.Vocabulary;
        }
        var ids = tensor(tokens);
        var labels = ids.clone();
        labels[Unlearned.Contains(number) ? .. : ..1] = PackedBatch.Ignored;
        var weights = full([count], Unlearned.Contains(number) ? 0 : 1 + (number % 3), dtype: float32);
        weights[0] = 0;
        return new()
        {
            Ids = Own(ids),
            Labels = Own(labels),
            // An infinite weight would be refused: the pixels carry the fault.
            Weights = Own(weights),
            Layout = new SequenceLayout([0, count], Own(arange(count, dtype: int64))),
            Pixels = Bad.Contains(number) ? Own(zeros([1, 3, 2, 2], uint8)) : null,
            TrainedTokens = count - 1,
            SampleIds = [number.ToString(CultureInfo.InvariantCulture)],
        };
    }

    public string SaveState() => _next.ToString(CultureInfo.InvariantCulture);

    // The same number everywhere: what each replica has taken, over all of them.
    public void RestoreState(IReadOnlyList<string> states) => _next = states.Sum(state => long.Parse(state, CultureInfo.InvariantCulture)) / stride;

    public void Dispose() { }

    private static Tensor Own(Tensor tensor) => tensor.DetachFromDisposeScope();
}
