using SailVit.Model.Checkpoints;
using SailVit.Model.Distributed;
using SailVit.Model.Encoders;
using SailVit.Model.Multimodal;
using SailVit.Model.Refinement;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Refinement;

public sealed class RefinementRunTests
{
    [Theory]
    [InlineData(ToyRecipe.Aimv2)]
    [InlineData(ToyRecipe.InternVit)]
    public void Stages_TrainWhatTheySayAndNothingElse(string vision)
    {
        using var folder = new TempFolder();
        var run = Make(folder, ToyRecipe.Text(vision, target: ToyRecipe.Target));
        Assert.True(run.Run());

        var models = run.Stages.Select(s => s.Folder.Model).Prepend(Path.Combine(folder.Path, "start")).ToArray();
        AssertChanged(models[0], models[1], "mlp1.");
        AssertChanged(models[1], models[2], "mlp1.", "vision_model.");
        AssertChanged(models[2], models[3], "mlp1.", "vision_model.", "language_model.");
        AssertChanged(Path.Combine(folder.Path, "target-start"), models[4], "mlp1.", "language_model.");
        Assert.All(run.Stages, s => Assert.Equal(4, s.Folder.Summary!.Steps));
        Assert.All(run.Stages, s => Assert.Empty(Directory.EnumerateDirectories(s.Folder.Path, "step-*")));
    }

    [Fact]
    public void Encoder_IsHandedOverAlone()
    {
        using var folder = new TempFolder();
        var run = Make(folder, ToyRecipe.Text(target: ToyRecipe.Target));
        Assert.True(run.Run());

        using var scope = NewDisposeScope();
        using var encoder = new VisionTransformer(ConfigFile.Read(run.EncoderFolder));
        CheckpointLoader.Load(encoder, run.EncoderFolder, EncoderFamily.Aimv2);
        using var refined = MultimodalModel.Load(run.Stages[2].Folder.Model);
        using var target = MultimodalModel.Load(Path.Combine(folder.Path, "target-start"));
        Assert.All(encoder.state_dict(), p => Assert.True(TestData.Same(p.Value, refined.Vision.state_dict()[p.Key])));
        Assert.All(encoder.state_dict(), p => Assert.True(TestData.Same(p.Value, target.Vision.state_dict()[p.Key])));
        Assert.NotEqual(refined.Config.Language.Family, target.Config.Language.Family);
    }

    [Fact]
    public void BlocksBehindTheSelectedState_DoNotDecay()
    {
        using var folder = new TempFolder();
        var run = Make(folder, ToyRecipe.Text(model: "select_layer: -3", defaults: "precision: float32\nweight_decay: 0.5"));
        Assert.True(run.Run(last: "fine"));
        var (before, after) = (Tensors(run.Stages[0].Folder.Model), Tensors(run.Stages[1].Folder.Model));
        Assert.Equal(["vision_model.preprocessor", "vision_model.trunk.blocks.0"], before.Keys.Where(name => name.StartsWith("vision_model.", StringComparison.Ordinal) && !TestData.Same(before[name], after[name]))
            .Select(name => string.Join('.', name.Split('.').Take(name.Contains("trunk") ? 4 : 2))).Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void BFloat16_TrainsAndSavesInBFloat16()
    {
        using var folder = new TempFolder();
        var run = Make(folder, ToyRecipe.Text(defaults: "precision: bfloat16\nactivation_checkpointing: true\nema: 0.5"));
        Assert.True(run.Run());
        Assert.All(Tensors(run.Stages[2].Folder.Model).Values, t => Assert.Equal(ScalarType.BFloat16, t.dtype));
        var losses = MetricsLog.Read(run.Stages[2].Folder.Path).Select(r => r["loss"]!.GetValue<double>()).ToArray();
        Assert.Equal(4, losses.Length);
        Assert.All(losses, loss => Assert.InRange(loss, 0.1, 8));
    }

    [Fact]
    public void InterruptedAfterEveryStep_EndsWithTheSameBits()
    {
        using var folder = new TempFolder();
        InterruptedAfterEveryStep(folder, ToyRecipe.Text(defaults: "precision: float32\nadalrs: { window: 2, alpha: 3, beta: 2 }\nema: 0.9"));
    }

    [Fact]
    public void ImagesOfTheirOwnSize_TrainAndGoOn()
    {
        using var folder = new TempFolder();
        var made = Make(folder, ToyRecipe.Text(), "made");
        Assert.True(made.Run(last: "coarse"));
        string given = made.Stages[0].Folder.Model, config = Path.Combine(given, ConfigFile.Name);
        File.WriteAllText(config, "{ \"any_res_positions\": \"bicubic\"," + File.ReadAllText(config)[1..]);
        string text = $"model: {{ folder: {given} }}\n" + ToyRecipe.Text()[ToyRecipe.Text().IndexOf("defaults:", StringComparison.Ordinal)..];
        InterruptedAfterEveryStep(folder, text);
        Assert.NotNull(MultimodalConfigFile.Read(Make(folder, text, "whole").Stages[2].Folder.Model).AnyRes);
    }

    private static void InterruptedAfterEveryStep(TempFolder folder, string text)
    {
        var whole = Make(folder, text, "whole");
        Assert.True(whole.Run());
        int stops = 0;
        for (bool finished = false; !finished; stops++)
        {
            using var stop = new CancellationTokenSource();
            finished = Make(folder, text, "pieces").Run(new StopAfterOneStep(stop), cancel: stop.Token);
        }
        Assert.Equal(12, stops);
        for (int i = 0; i < 3; i++)
        {
            var (expected, actual) = (Tensors(whole.Stages[i].Folder.Model), Tensors(Make(folder, text, "pieces").Stages[i].Folder.Model));
            Assert.All(expected, t => Assert.True(TestData.Same(t.Value, actual[t.Key]), t.Key));
            Assert.Equal([0, 1, 2, 3], MetricsLog.Read(Make(folder, text, "pieces").Stages[i].Folder.Path).Select(r => r["step"]!.GetValue<int>()));
        }
    }

    [Fact]
    public void FinishedStages_AreNotRunAgain()
    {
        using var folder = new TempFolder();
        Assert.True(Make(folder, ToyRecipe.Text()).Run(last: "fine"));
        var seen = new Watcher();
        Assert.True(Make(folder, ToyRecipe.Text()).Run(seen));
        Assert.Equal(["coarse finished before", "fine finished before", "world begins", "world finished now"], seen.Events);
    }

    [Fact]
    public void ChangedSettings_AreRefused()
    {
        using var folder = new TempFolder();
        Assert.True(Make(folder, ToyRecipe.Text()).Run(last: "coarse"));
        var error = Assert.Throws<RecipeException>(() => Make(folder, ToyRecipe.Text().Replace("connector: 1e-2", "connector: 2e-2", StringComparison.Ordinal)).Run());
        Assert.Contains("connector_rate 0.01, now 0.02", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnotherModel_IsRefused()
    {
        using var folder = new TempFolder();
        Assert.True(Make(folder, ToyRecipe.Text()).Run(last: "coarse"));
        var error = Assert.Throws<RecipeException>(() => Make(folder, ToyRecipe.Text(model: "ps_version: v1")).Run());
        Assert.Contains("the model was put together with other settings (pixel_shuffle", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void GivenModel_ThatChanged_IsRefused()
    {
        using var folder = new TempFolder();
        var made = Make(folder, ToyRecipe.Text(), "made");
        Assert.True(made.Run(last: "fine"));
        string given = folder.File("given"), text = $"model: {{ folder: {given} }}\n" + ToyRecipe.Text()[ToyRecipe.Text().IndexOf("defaults:", StringComparison.Ordinal)..];
        Copy(made.Stages[0].Folder.Model, given);
        Assert.True(Make(folder, text, "run").Run(last: "coarse"));
        Assert.True(Make(folder, text, "run").Run(last: "coarse"));
        // Of the same name, architecture and sizes.
        Copy(made.Stages[1].Folder.Model, given);
        Assert.Contains("the run was begun with other settings (weights", Assert.Throws<RecipeException>(() => Make(folder, text, "run").Run()).Message, StringComparison.Ordinal);

        static void Copy(string from, string to)
        {
            Directory.CreateDirectory(to);
            Array.ForEach(Directory.GetFiles(from), file => File.Copy(file, Path.Combine(to, Path.GetFileName(file)), overwrite: true));
        }
    }

    [Fact]
    public void TwoRunsInOneFolder_TheSecondIsRefused()
    {
        using var folder = new TempFolder();
        string? refused = null;
        Assert.True(Make(folder, ToyRecipe.Text()).Run(new AtFirstStep(() => refused = Assert.Throws<CheckpointException>(() => Make(folder, ToyRecipe.Text()).Run()).Message), last: "coarse"));
        Assert.Contains("another run may be at work in this folder", refused, StringComparison.Ordinal);
        Assert.True(Make(folder, ToyRecipe.Text()).Run(last: "fine"));
    }

    [Fact]
    public void DamagedSummary_IsOneClearLine()
    {
        using var folder = new TempFolder();
        var run = Make(folder, ToyRecipe.Text());
        Assert.True(run.Run(last: "coarse"));
        File.WriteAllText(Path.Combine(run.Stages[0].Folder.Path, "summary.json"), "{\"stage\"");
        Assert.Contains("summary.json: not the summary of a stage", Assert.Throws<CheckpointException>(() => run.Run()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SkippedSamples_AreNamedInTheSummary()
    {
        using var folder = new TempFolder();
        string data = folder.Write("data.jsonl", File.ReadAllText(ToyRecipe.Captions) + "{broken\n");
        var run = Make(folder, ToyRecipe.Text().Replace(ToyRecipe.Captions, data, StringComparison.Ordinal));
        Assert.True(run.Run(last: "coarse"));
        var skipped = Assert.Single(run.Stages[0].Folder.Summary!.SkippedSamples);
        Assert.Equal("Malformed", skipped.Key);
        Assert.Contains("not valid JSON", skipped.Value.First[0], StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownStage_IsNamedWithTheKnownOnes() =>
        Assert.Contains("no stage 'warm-up'; it has coarse, fine, world", Assert.Throws<RecipeException>(() =>
        {
            using var folder = new TempFolder();
            Make(folder, ToyRecipe.Text()).Run(last: "warm-up");
        }).Message, StringComparison.Ordinal);

    [Fact]
    public void TokenizerBeyondTheVocabulary_IsRefused()
    {
        using var folder = new TempFolder();
        var error = Assert.Throws<CheckpointException>(() => Make(folder, ToyRecipe.Text().Replace("vocab_size: 512", "vocab_size: 300", StringComparison.Ordinal)).Run());
        Assert.Contains("the language model has embeddings for 300", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Epochs_BecomeSteps()
    {
        using var folder = new TempFolder();
        var seen = new Watcher();
        Make(folder, ToyRecipe.Text(defaults: "precision: float32\npack_tiles: 4").Replace("steps: 4", "epochs: 3", StringComparison.Ordinal)).Run(seen, last: "coarse");
        // 10 captions of up to 3 tiles, 3 times; packs of 4 tiles and 160 tokens, 2 a step.
        Assert.InRange(seen.Plans[0].Steps, 4, 12);
    }

    private static RefinementRun Make(TempFolder folder, string text, string name = "") => new(ToyRecipe.Read(text), Path.Combine(folder.Path, name), new SingleReplica(), 1e12);

    private static Dictionary<string, Tensor> Tensors(string model)
    {
        using var checkpoint = Checkpoint.Open(model);
        return checkpoint.Names.ToDictionary(name => name, checkpoint.Read);
    }

    private static void AssertChanged(string before, string after, params string[] parts)
    {
        var (was, became) = (Tensors(before), Tensors(after));
        Assert.Equal(was.Keys.Order(), became.Keys.Order());
        var changed = was.Keys.Where(name => !TestData.Same(was[name], became[name])).ToList();
        Assert.All(changed, name => Assert.Contains(parts, part => name.StartsWith(part, StringComparison.Ordinal)));
        Assert.All(parts, part => Assert.Contains(changed, name => name.StartsWith(part, StringComparison.Ordinal)));
    }

    private sealed class AtFirstStep(Action action) : IRefinementObserver
    {
        private Action? _action = action;

        public void Begin(StagePlan plan) { }

        public void Step(StageProgress progress) => Interlocked.Exchange(ref _action, null)?.Invoke();

        public void End(StageSummary summary, bool now) { }
    }

    private sealed class StopAfterOneStep(CancellationTokenSource stop) : IRefinementObserver
    {
        public void Begin(StagePlan plan) { }

        public void Step(StageProgress progress) => stop.Cancel();

        public void End(StageSummary summary, bool now) { }
    }

    private sealed class Watcher : IRefinementObserver
    {
        public List<string> Events { get; } = [];

        public List<StagePlan> Plans { get; } = [];

        public void Begin(StagePlan plan)
        {
            Plans.Add(plan);
            Events.Add($"{plan.Name} begins");
        }

        public void Step(StageProgress progress) => Assert.True(progress.Utilization > 0 && progress.TokensPerSecond > 0);

        public void End(StageSummary summary, bool now) => Events.Add($"{summary.Stage} finished {(now ? "now" : "before")}");
    }
}
