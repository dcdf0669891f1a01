using SailVit.Model.Encoders;

namespace SailVit.Model.Multimodal;

public sealed partial class MultimodalModel
{
    /// <summary>Names of the parameters whose gradients are complete when a backward pass has come by block 0, 1, …, counted from the
    /// loss: the language model's blocks from the last to the first, then the encoder's.</summary>
    /// <remarks>What stands in none is complete at the end: patches, positions, and embeddings where the encoder is not trained.</remarks>
    public IReadOnlyList<IReadOnlyList<string>> BackwardOrder()
    {
        var (language, vision) = ("language_model.model.", Config.Vision.Family == EncoderFamily.Aimv2 ? "vision_model.trunk." : "vision_model.encoder.");
        string blocks = Config.Vision.Family == EncoderFamily.Aimv2 ? "blocks" : "layers";
        var names = named_parameters().Select(p => p.name).ToList();
        var order = new List<IReadOnlyList<string>>();
        for (int i = Config.Language.Layers - 1; i >= 0; i--)
        {
            string[] after = i == Config.Language.Layers - 1 ? [language + "norm.", "language_model.lm_head."] : [];
            order.Add(Of([.. after, $"{language}layers.{i}."]));
        }
        for (int i = Config.Vision.Layers - 1; i >= 0; i--)
        {
            string[] after = i == Config.Vision.Layers - 1 ? [language + "embed_tokens.", "mlp1.", vision + "norm.", vision + "post_trunk_norm."] : [];
            order.Add(Of([.. after, $"{vision}{blocks}.{i}."]));
        }
        return order;

        List<string> Of(string[] prefixes) => names.FindAll(name => Array.Exists(prefixes, prefix => name.StartsWith(prefix, StringComparison.Ordinal)));
    }

    /// <summary>Has somebody told when a backward pass comes by a block of <see cref="BackwardOrder"/>; null for nobody.</summary>
    public void WatchBackward(Action<int>? passed)
    {
        int layers = Config.Language.Layers, all = layers + Config.Vision.Layers;
        Language.BlockPassed = passed is null ? null : i => passed(layers - 1 - i);
        Vision.BlockPassed = passed is null ? null : i => passed(all - 1 - i);
    }
}
