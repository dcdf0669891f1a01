using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>Runs a multimodal model on the input of an expected file and compares everything that the file holds of it.</summary>
internal static class MultimodalVerification
{
    /// <summary>Token ids, [B, N]: a file that has them is of a multimodal model.</summary>
    public const string IdsKey = "input.ids";

    private const string LabelsKey = "input.labels";
    private const string PixelsKey = "input.pixel_values";
    private const string GeneratedKey = "output.generated";

    /// <summary>Compares.</summary>
    /// <param name="model">The model.</param>
    /// <param name="dtype">Its dtype.</param>
    /// <param name="expected">The expected tensors.</param>
    /// <param name="tolerance">Largest relative error; generated tokens must be the same.</param>
    public static VerificationReport Run(MultimodalModel model, ScalarType dtype, SafetensorsFile expected, double tolerance)
    {
        using var scope = NewDisposeScope();
        foreach (string key in (string[])[IdsKey, PixelsKey])
        {
            if (!expected.Tensors.TryGetValue(key, out var entry) || entry.Shape.Length != (key == IdsKey ? 2 : 4))
            {
                throw new ArgumentException($"{expected.Path}: {key} is missing or no batch; a multimodal model needs {IdsKey} [B, N] and {PixelsKey} [tiles, 3, H, W].");
            }
        }
        var ids = expected.Read(IdsKey);
        var pixels = expected.Read(PixelsKey).to(dtype);
        var results = new List<VerifiedTensor>();
        foreach (var (key, value) in Outputs(model, ids, pixels).Where(output => expected.Tensors.ContainsKey(output.Key)))
        {
            var reference = expected.Read(key);
            results.Add(Verification.Compare(key, value.reshape(reference.shape), reference, tolerance));
        }
        if (expected.Tensors.ContainsKey(LabelsKey))
        {
            using var batch = Batch(ids, pixels, expected.Read(LabelsKey));
            results.AddRange(LossAndGradients(model, batch, expected, tolerance));
        }
        if (expected.Tensors.ContainsKey(GeneratedKey))
        {
            results.Add(Generated(model, ids, pixels, expected.Read(GeneratedKey)));
        }
        return results.Count > 0 ? VerificationReport.Of(tolerance, results, expected)
            : throw new ArgumentException($"{expected.Path}: holds nothing to compare; expected are output.selected, .connector, .logits, .loss, .generated, or {Verification.GradPrefix}<name>.");
    }

    private static Dictionary<string, Tensor> Outputs(MultimodalModel model, Tensor ids, Tensor pixels)
    {
        using var off = no_grad();
        int select = model.Config.SelectLayer;
        var connected = model.EncodeImages(pixels);
        var hidden = model.Language.Hidden(model.Embed(ids.flatten(), connected), Layout(ids));
        return new()
        {
            ["output.selected"] = Verification.Selected(model.Config.Vision, select, model.Vision.Encode(pixels, [select])),
            ["output.connector"] = connected,
            ["output.logits"] = model.Language.Logits(hidden),
        };
    }

    private static SequenceLayout Layout(Tensor ids) => SequenceLayout.Of([.. Enumerable.Repeat((int)ids.shape[1], (int)ids.shape[0])]);

    private static PackedBatch Batch(Tensor ids, Tensor pixels, Tensor labels)
    {
        using Scalar ignored = PackedBatch.Ignored;
        return new()
        {
            Ids = ids.flatten(),
            Labels = labels.flatten(),
            Weights = ones(ids.numel()),
            Layout = Layout(ids),
            Pixels = pixels.alias(),
            Tiles = (int)pixels.shape[0],
            TrainedTokens = (int)labels.ne(ignored).sum().item<long>(),
            SampleIds = [.. Enumerable.Range(0, (int)ids.shape[0]).Select(i => $"row {i}")],
        };
    }

    private static List<VerifiedTensor> LossAndGradients(MultimodalModel model, PackedBatch batch, SafetensorsFile expected, double tolerance)
    {
        const string LossKey = "output.loss";
        var loss = model.Loss(batch);
        var results = new List<VerifiedTensor>();
        if (expected.Tensors.ContainsKey(LossKey))
        {
            var reference = expected.Read(LossKey);
            results.Add(Verification.Compare(LossKey, loss.reshape(reference.shape), reference, tolerance));
        }
        string[] names = Verification.GradientNames(expected);
        if (names.Length > 0)
        {
            loss.backward();
            results.AddRange(Verification.CompareGradients(model, KeyMap.ResolveMultimodal(names, model.Config.Vision.Family, tiedHead: false), expected, tolerance, "model"));
        }
        return results;
    }

    private static VerifiedTensor Generated(MultimodalModel model, Tensor ids, Tensor pixels, Tensor expected)
    {
        long rows = ids.shape[0], tiles = pixels.shape[0] / rows;
        var prompts = Enumerable.Range(0, (int)rows)
            .Select(i => new MultimodalPrompt([.. ids[i].data<long>().Select(id => (int)id)], pixels.narrow(0, i * tiles, tiles))).ToList();
        var answers = model.Generate(prompts, new() { MaxNewTokens = (int)expected.shape[1] });
        var actual = tensor([.. answers.SelectMany(a => a.Ids.Select(id => (long)id))], dtype: int64).view(expected.shape);
        long different = actual.ne(expected).sum().item<long>();
        return new(GeneratedKey, expected.shape, (double)different / expected.numel(), different == 0, different == 0 ? null : $"{different} of {expected.numel()} tokens differ");
    }
}
