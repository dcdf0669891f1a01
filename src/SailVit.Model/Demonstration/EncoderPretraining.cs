using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SailVit.Model.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Demonstration;

/// <summary>Pretrains the small encoder on pictures alone: it sees some patches and paints the others.</summary>
/// <remarks>Masked patches are grey in the picture; a linear layer on their tokens predicts their pixels, by mean squared error
/// over masked patches. Source: SimMIM, Xie et al. 2022, arXiv 2111.09886, in its plainest form.</remarks>
internal static class EncoderPretraining
{
    private const double MaskedShare = 0.5, LearningRate = 1e-3, WeightDecay = 0.05;
    private const int Batch = 64;

    // Of the pictures' bytes, roughly.
    private const int PixelMean = 200, PixelDeviation = 50;

    /// <summary>The architecture: AIMv2's and SAILViT's, 0.8 million parameters.</summary>
    public static EncoderConfig Config { get; } = ConfigFile.Parse($$"""
        { "model_type": "aimv2", "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 2,
          "image_size": {{SceneRenderer.Size}}, "patch_size": 12, "rms_norm_eps": 1e-5 }
        """);

    /// <summary>Trains an encoder and saves it.</summary>
    /// <returns>The last loss: 1 is what predicting the mean would give.</returns>
    public static double Run(WorldOptions options, string images, string folder, Action<int> report, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        random.manual_seed(options.Seed);
        using var encoder = new VisionTransformer(Config);
        int patch = Config.PatchSize, pixels = 3 * patch * patch;
        using var head = new Kernels.Modules.Linear(Config.HiddenSize, pixels);
        var all = Load(images);
        var grey = tensor(ImageTransform.Mean.Select(m => (byte)Math.Round(255 * m)).ToArray()).view(1, 3, 1, 1);
        var draw = new Generator((ulong)options.Seed);
        // Held: TorchSharp keeps a number that it converts itself alive for less than the call.
        using Scalar share = MaskedShare, mean = PixelMean, deviation = PixelDeviation;
        double loss = Pretraining.Run(
            [new("encoder", [.. encoder.named_parameters().Select(p => (p.name, p.parameter)), .. head.named_parameters().Select(p => ("head." + p.name, p.parameter))], LearningRate, WeightDecay)],
            options.EncoderSteps, Loss, report, cancel);
        CheckpointWriter.Save(encoder, folder);
        return loss;

        Tensor Loss()
        {
            var batch = all.index_select(0, randint(0, all.shape[0], Batch, generator: draw));
            var masked = rand([Batch, 1, Config.GridHeight, Config.GridWidth], generator: draw).lt(share);
            var hidden = masked.repeat_interleave(patch, 2).repeat_interleave(patch, 3);
            var predicted = head.call(encoder.call(where(hidden, grey, batch)));
            // Values of about unit variance over the pictures.
            var wanted = Patches(batch.to(float32).sub(mean).div(deviation), patch);
            var weight = masked.flatten(1).to(float32);
            var error = predicted - wanted;
            return ((error * error).mean([2]) * weight).sum() / weight.sum();
        }
    }

    // [B, 3, H, W] → [B, N, 3·P·P].
    private static Tensor Patches(Tensor images, int patch)
    {
        long rows = images.shape[2] / patch, columns = images.shape[3] / patch;
        return images.view(-1, 3, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5).reshape(-1, rows * columns, 3 * patch * patch);
    }

    private static Tensor Load(string folder)
    {
        string[] files = [.. Directory.EnumerateFiles(folder, "*.png").Order(StringComparer.Ordinal)];
        var images = files.AsParallel().AsOrdered().Select(ImageDecoder.Decode).ToList();
        return new ImageTransform(SceneRenderer.Size, SceneRenderer.Size).ToBytes(images);
    }
}
