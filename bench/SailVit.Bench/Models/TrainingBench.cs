using SailVit.Bench.Measuring;
using SailVit.Bench.Stock;
using SailVit.Model.Data;
using SailVit.Model.Demonstration;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Refinement;
using SailVit.Model.Training;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Bench.Models;

/// <summary>Training steps of multimodal models, everything trained, on a pack of samples with an image each.</summary>
public static class TrainingBench
{
    private static readonly Setting[] Settings =
    [
        // The demonstration's model and the size of its packs.
        new("demo_training", 32, 55, new()
        {
            Vision = EncoderPretraining.Config,
            Language = LanguagePretraining.Config,
            SelectLayer = -1,
            PixelShuffleVersion = PixelShuffleVersion.V2,
            ForceImageSize = EncoderPretraining.Config.ImageHeight,
            ImageContextTokenId = LanguagePretraining.VocabSize - 1,
        }),
        new("multimodal_training", 8, 64, new()
        {
            Vision = EncoderPresets.Get("aimv2-base") with { HiddenSize = 384, IntermediateSize = 1024, Layers = 6, Heads = 6, ImageHeight = 224, ImageWidth = 224 },
            Language = new() { Family = LanguageFamily.Qwen3, QkNorm = true, HiddenSize = 384, IntermediateSize = 1024, Layers = 6, Heads = 6, KvHeads = 2, HeadDim = 64, VocabSize = 4096, MaxPositions = 1024, TieEmbeddings = true },
            SelectLayer = -1,
            PixelShuffleVersion = PixelShuffleVersion.V2,
            ForceImageSize = 224,
            ImageContextTokenId = 4095,
        }),
    ];

    private sealed record Setting(string Op, int Samples, int TextTokens, MultimodalConfig Model);

    /// <summary>Forward, backward and AdamW step of each model.</summary>
    public static IEnumerable<BenchCase> Cases(ScalarType dtype) => Settings.Select(setting =>
    {
        using var batch = Batch(setting);
        var model = setting.Model;
        return new BenchCase
        {
            Op = setting.Op,
            Shape = $"{batch.Tiles}x3x{model.ForceImageSize}x{model.ForceImageSize} T{batch.Ids.shape[0]}",
            DType = dtype,
            Direction = Direction.ForwardBackward,
            Work = new(new ModelFlops(model, vision: true, connector: true, language: true).Of(batch), 10.0 * dtype.ElementSize() * (model.Vision.ParameterCount + model.Language.ParameterCount)),
            Baseline = "TorchSharp ops, torch.optim.AdamW step",
            Create = () => new TrainingPair(setting, dtype),
        };
    });

    /// <summary>Makes two steps of one side in this process and returns its peak resident memory, MB; null where the op is none of <see cref="Cases"/>. Call it
    /// in a process of its own.</summary>
    public static double? Peak(ModelBench.Side side, string op, ScalarType dtype)
    {
        if (Array.Find(Settings, s => s.Op == op) is not { } setting)
        {
            return null;
        }
        using var pair = new TrainingPair(setting, dtype, side);
        for (int i = 0; i < 2; i++)
        {
            using var scope = NewDisposeScope();
            _ = side == ModelBench.Side.Ours ? pair.Ours() : pair.Stock();
        }
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / 1e6;
    }

    // Samples of one tile and as many words, all words but the first learned.
    private static PackedBatch Batch(Setting setting)
    {
        var (_, samples, textTokens, config) = setting;
        int length = config.TokensPerTile + textTokens, vocabulary = config.Language.VocabSize;
        var words = Inputs.Normal(ScalarType.Float32, samples, textTokens).abs().mul(vocabulary / 4).to(int64).clamp(0, vocabulary - 2);
        var ids = cat([full([samples, config.TokensPerTile], config.ImageContextTokenId, int64), words], 1);
        var labels = cat([full([samples, config.TokensPerTile + 1], PackedBatch.Ignored, int64), words.narrow(1, 1, textTokens - 1)], 1).view(-1);
        return new()
        {
            Ids = ids.view(-1).DetachFromDisposeScope(),
            Labels = labels.DetachFromDisposeScope(),
            Weights = labels.ne(PackedBatch.Ignored).to(float32).DetachFromDisposeScope(),
            Layout = SequenceLayout.Of([.. Enumerable.Repeat(length, samples)]),
            Pixels = Inputs.Normal(ScalarType.Float32, samples, 3, config.ForceImageSize, config.ForceImageSize).mul(60).add(128).clamp(0, 255).to(uint8).DetachFromDisposeScope(),
            Tiles = samples,
            TrainedTokens = samples * (textTokens - 1),
            SampleIds = [.. Enumerable.Range(0, samples).Select(i => $"{i}")],
        };
    }

    private sealed class TrainingPair : BenchPair
    {
        private const double LearningRate = 1e-5;

        private readonly PackedBatch _batch;
        private readonly MultimodalModel _ours;
        private readonly StockMultimodal _stock;
        private optim.Optimizer? _fused, _adamW;

        // One side alone frees the other's weights.
        public TrainingPair(Setting setting, ScalarType dtype, ModelBench.Side? alone = null)
        {
            manual_seed(1);
            _batch = Batch(setting);
            _ours = new MultimodalModel(setting.Model, dtype);
            _ours.train();
            _stock = new StockMultimodal(_ours, dtype);
            if (alone == ModelBench.Side.Ours)
            {
                _stock.Dispose();
            }
            else if (alone == ModelBench.Side.Stock)
            {
                _ours.Dispose();
            }
        }

        public override Tensor[] Ours() => Step(b => _ours.Loss(b), _fused ??= new FusedAdamW(_ours.parameters(), LearningRate));

        public override Tensor[] Stock() => Step(_stock.Loss, _adamW ??= new AdamW(_stock.Parameters.Values, LearningRate));

        public override (double? Ours, double? Stock) Errors()
        {
            using var scope = NewDisposeScope();
            using var exact = new StockMultimodal(_ours, ScalarType.Float64);
            var names = exact.Parameters.Keys.Order(StringComparer.Ordinal).ToList();
            var ours = _ours.named_parameters().ToDictionary(p => p.name, p => p.parameter);
            var reference = Gradients(exact.Loss, names.ConvertAll(n => exact.Parameters[n]));
            return (RelativeError.Worst(Gradients(b => _ours.Loss(b), names.ConvertAll(n => ours[n])), reference),
                RelativeError.Worst(Gradients(_stock.Loss, names.ConvertAll(n => _stock.Parameters[n])), reference));
        }

        protected override void Dispose(bool disposing)
        {
            _fused?.Dispose();
            _adamW?.Dispose();
            _ours.Dispose();
            _stock.Dispose();
            _batch.Dispose();
        }

        private Tensor[] Step(Func<PackedBatch, Tensor> loss, optim.Optimizer optimizer)
        {
            var result = loss(_batch);
            result.backward();
            optimizer.step();
            optimizer.zero_grad();
            return [result];
        }

        private Tensor[] Gradients(Func<PackedBatch, Tensor> loss, List<Parameter> parameters)
        {
            var result = loss(_batch);
            result.backward();
            return [result.detach(), .. parameters.Select(parameter =>
            {
                var gradient = parameter.grad!;
                parameter.grad = null;
                return gradient;
            })];
        }
    }
}
