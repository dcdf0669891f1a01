using SailVit.Model.Encoders;
using SailVit.Model.Multimodal;
using SailVit.Model.Training;
using TorchSharp.Modules;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Refinement;

/// <summary>Freezes what a stage does not train, and groups the rest by learning rate.</summary>
internal static class TrainedParts
{
    public const string Vision = "vision", Connector = "connector", Language = "language";

    /// <summary>Prepares a model for a stage; without a frozen part's gradients its backward pass is not run.</summary>
    public static IReadOnlyList<TrainedGroup> Apply(MultimodalModel model, StageRecipe stage)
    {
        Set(model.Vision, stage.VisionRate is not null);
        Set(model.Connector, stage.ConnectorRate is not null);
        Set(model.Language, stage.LanguageRate is not null);
        if (stage.VisionRate is not null)
        {
            FreezeUnused(model);
        }
        model.Vision.GradientCheckpointing = stage.ActivationCheckpointing && stage.VisionRate is not null;
        model.Language.GradientCheckpointing = stage.ActivationCheckpointing;
        // Gradients pass the language model even where it is frozen; only its training mode lets it drop activations.
        model.Language.train(true);
        return [.. Groups(model, stage)];
    }

    /// <summary>Blocks of the encoder that the selected hidden state needs.</summary>
    public static int BlocksInUse(MultimodalConfig config)
    {
        int states = config.Vision.HiddenStates, selected = config.SelectLayer < 0 ? states + config.SelectLayer : config.SelectLayer;
        return selected + 1 - (states - config.Vision.Layers);
    }

    private static void Set(Module part, bool trained)
    {
        part.train(trained);
        foreach (var parameter in part.parameters())
        {
            parameter.requires_grad_(trained);
        }
    }

    // They get no gradient, and weight decay alone would wear them away.
    private static void FreezeUnused(MultimodalModel model)
    {
        int blocks = BlocksInUse(model.Config);
        if (model.Config.SelectLayer != -1)
        {
            model.Vision.Freeze(EncoderPart.FinalNorm, blocks..);
        }
    }

    private static IEnumerable<TrainedGroup> Groups(MultimodalModel model, StageRecipe stage)
    {
        if (stage.VisionRate is { } vision)
        {
            yield return Group(Vision, model.Vision, "vision_model.", vision, stage);
        }
        if (stage.ConnectorRate is { } connector)
        {
            yield return Group(Connector, model.Connector, "mlp1.", connector, stage);
        }
        if (stage.LanguageRate is { } language)
        {
            yield return Group(Language, model.Language, "language_model.", language, stage);
        }
    }

    private static TrainedGroup Group(string name, Module part, string prefix, double rate, StageRecipe stage) =>
        new(name, [.. part.named_parameters().Select(p => (prefix + p.name, p.parameter))], rate, stage.WeightDecay);
}
