using SailVit.Model.Checkpoints;
using SailVit.Model.Multimodal;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Multimodal;

public sealed class LoraTests
{
    private static readonly string Golden = TestData.Golden("sailvl_qwen3_small");

    private static MultimodalModel Adapted(int vision = 4, int language = 3)
    {
        var model = MultimodalModel.Load(Golden);
        manual_seed(5);
        if (vision > 0)
        {
            Lora.Apply(model.Vision, LoraConfig.ForEncoder(vision, model.Config.Vision));
        }
        if (language > 0)
        {
            Lora.Apply(model.Language, LoraConfig.ForLanguage(language));
        }
        return model;
    }

    // As after some training: b begins as 0.
    private static void Fill(MultimodalModel model)
    {
        using var off = no_grad();
        foreach (var (_, layer) in Lora.Adapted(model))
        {
            layer.lora_B!.normal_(0, 0.05);
        }
    }

    private static Tensor Logits(MultimodalModel model)
    {
        using var expected = SafetensorsFile.Open(Path.Combine(Golden, "expected.safetensors"));
        return model.Language.Logits(model.Hidden(MultimodalGoldenTests.Batch(expected)));
    }

    private static double Difference(Tensor a, Tensor b) => ((a - b).norm() / b.norm()).item<float>();

    [Fact]
    public void NewAdapters_ChangeNothing_AndMergedOnesChangeNothingMore()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var plain = MultimodalModel.Load(Golden);
        using var model = Adapted();
        Assert.InRange(Difference(Logits(model), Logits(plain)), 0, 3e-6);
        Fill(model);
        var before = Logits(model);
        Assert.True(Difference(before, Logits(plain)) > 0.01);
        Lora.Merge(model);
        Assert.InRange(Difference(Logits(model), before), 0, 3e-6);
        Assert.Equal(plain.state_dict().Keys, model.state_dict().Keys);
    }

    [Fact]
    public void OnlyAdaptersTrain_WithTheGradientsOfTheMergedWeight()
    {
        using var scope = NewDisposeScope();
        using var model = Adapted();
        Fill(model);
        foreach (var p in model.Connector.parameters())
        {
            p.requires_grad_(false);
        }
        using var expected = SafetensorsFile.Open(Path.Combine(Golden, "expected.safetensors"));
        model.Loss(MultimodalGoldenTests.Batch(expected)).backward();
        Assert.All(model.named_parameters(), p => Assert.Equal(p.name.Contains(".lora_", StringComparison.Ordinal), p.parameter.requires_grad));

        using var merged = Adapted();
        merged.load_state_dict(model.state_dict());
        Lora.Merge(merged);
        var weights = merged.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        foreach (var weight in weights.Values)
        {
            weight.requires_grad_(true);
        }
        merged.Loss(MultimodalGoldenTests.Batch(expected)).backward();
        foreach (var (name, layer) in Lora.Adapted(model).Where(l => l.Layer.lora_A!.grad is not null))
        {
            // w' = w + 2·b·a: da = 2·bᵀ·dw', db = 2·dw'·aᵀ.
            var dw = weights[$"{name}.weight"].grad!;
            Assert.InRange(Difference(layer.lora_A!.grad!, 2 * layer.lora_B!.t().matmul(dw)), 0, 1e-4);
            Assert.InRange(Difference(layer.lora_B!.grad!, 2 * dw.matmul(layer.lora_A!.t())), 0, 1e-4);
        }
        // All of the language model's; the encoder's up to the selected state, the output of block 1.
        Assert.Equal((3 * 7) + (2 * 5), Lora.Adapted(model).Count(l => l.Layer.lora_A!.grad is not null));
    }

    [Fact]
    public void Apart_SavedAndLoaded()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var folder = new TempFolder();
        using var model = Adapted(vision: 0);
        Fill(model);
        Lora.Save(model.Language, folder.Path, LoraConfig.ForLanguage(3));
        using var file = Checkpoint.Open(folder.File("adapter_model.safetensors"));
        Assert.Contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", file.Names);

        using var other = MultimodalModel.Load(Golden);
        Assert.Equivalent(LoraConfig.ForLanguage(3), Lora.Load(other.Language, folder.Path));
        Assert.True(TestData.Same(Logits(model), Logits(other)));
    }

    [Theory]
    [InlineData(4, 3)]
    [InlineData(0, 3)]
    public void WithTheCheckpoint_SavedAndLoaded(int vision, int language)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var folder = new TempFolder();
        using var model = Adapted(vision, language);
        Fill(model);
        model.Save(folder.Path);
        using var file = Checkpoint.Open(folder.Path);
        Assert.Contains("language_model.base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight", file.Names);
        Assert.Contains("language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", file.Names);
        Assert.Equal(vision > 0, file.Names.Contains("vision_model.base_model.model.trunk.blocks.0.attn.qkv.base_layer.weight"));

        using var again = MultimodalModel.Load(folder.Path);
        Assert.Equal((vision, language), (again.Config.UseBackboneLora, again.Config.UseLlmLora));
        Assert.True(TestData.Same(Logits(model), Logits(again)));
        Lora.Merge(again);
        again.Save(folder.Path);
        using var merged = MultimodalModel.Load(folder.Path);
        Assert.Equal((0, 0), (merged.Config.UseBackboneLora, merged.Config.UseLlmLora));
        Assert.True(TestData.Same(Logits(again), Logits(merged)));
    }

    [Fact]
    public void WhatDoesNotFit_IsAnErrorAndLeavesTheModelAsItWas()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var folder = new TempFolder();
        using var model = Adapted(vision: 0);
        Lora.Save(model.Language, folder.Path, LoraConfig.ForLanguage(3));
        using var other = MultimodalModel.Load(Golden);
        var before = Logits(other);
        folder.Write("adapter_config.json", """{"peft_type": "LORA", "r": 5, "lora_alpha": 10, "target_modules": ["q_proj"]}""");
        string message = Assert.Throws<CheckpointException>(() => Lora.Load(other.Language, folder.Path)).Message;
        Assert.Contains("must be [5, 96]", message, StringComparison.Ordinal);
        Assert.Contains("unexpected", message, StringComparison.Ordinal);
        Assert.True(TestData.Same(before, Logits(other)));
        Assert.All(other.parameters(), p => Assert.True(p.requires_grad));
        Assert.Contains("names no linear layer", Assert.Throws<ArgumentException>(() => Lora.Apply(other.Language, new(4, 8, ["attention.wqkv"]))).Message, StringComparison.Ordinal);
        Assert.Contains("already", Assert.Throws<InvalidOperationException>(() => Lora.Apply(model.Language, LoraConfig.ForLanguage(2))).Message, StringComparison.Ordinal);
        Assert.Contains("no adapters", Assert.Throws<ArgumentException>(() => Lora.Save(other.Vision, folder.Path, LoraConfig.ForLanguage(3))).Message, StringComparison.Ordinal);
    }
}
