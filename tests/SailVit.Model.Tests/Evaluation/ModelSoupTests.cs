using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Evaluation;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Evaluation;

public sealed class ModelSoupTests : IDisposable
{
    private static readonly string Source = TestData.Golden("aimv2_small");
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    /// <summary>The golden checkpoint with noise of a fraction of each tensor's size.</summary>
    private string Noisy(string name, double noise, ulong seed)
    {
        using var random = new Generator(seed);
        var tensors = Read(Source).ToDictionary(t => t.Key, t => t.Value + (randn(t.Value.shape, generator: random) * (noise * t.Value.square().mean().sqrt())));
        CheckpointWriter.Write(_folder.File(name), tensors, config: File.ReadAllText(Path.Combine(Source, ConfigFile.Name)));
        return _folder.File(name);
    }

    private static Dictionary<string, Tensor> Read(string folder)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return checkpoint.Names.ToDictionary(n => n, checkpoint.Read);
    }

    [Fact]
    public void LikeCheckpoints_GiveTheirMeanBitForBit()
    {
        string[] parts = [Noisy("a", 0.05, 1), Noisy("b", 0.05, 2), Noisy("c", 0.05, 3)];
        string output = _folder.File("soup");
        int done = 0;
        var report = ModelSoup.Average(parts, output, n => done += n);

        Assert.Empty(report.Unlike);
        Assert.All(report.Distances, d => Assert.InRange(d, 0.02, 0.08));
        var (a, b, c, mean) = (Read(parts[0]), Read(parts[1]), Read(parts[2]), Read(output));
        Assert.Equal(a.Count, mean.Count);
        Assert.Equal(a.Count, done);
        Assert.All(mean, m => Assert.True(TestData.Same(m.Value, ((a[m.Key].to(float64) + b[m.Key].to(float64) + c[m.Key].to(float64)) / 3).to(float32)), m.Key));
        using var encoder = new VisionTransformer(ConfigFile.Read(output));
        CheckpointLoader.Load(encoder, output, EncoderFamily.Aimv2);
    }

    [Fact]
    public void UnlikeCheckpoints_AreNamed()
    {
        string[] parts = [Noisy("a", 0, 1), Noisy("b", 0.01, 2), Noisy("c", 3, 3)];
        Assert.Contains(parts[2], ModelSoup.Average(parts, _folder.File("soup")).Unlike);
    }

    [Fact]
    public void AnotherArchitecture_IsRefusedWithWhatDiffers()
    {
        string output = _folder.File("soup");
        string message = Assert.Throws<CheckpointException>(() => ModelSoup.Average([Source, TestData.Golden("internvit_small")], output)).Message;
        Assert.Contains("lacks preprocessor.pos_embed", message, StringComparison.Ordinal);
        Assert.Contains(" more.", message, StringComparison.Ordinal);
        var tensors = Read(Source);
        tensors["trunk.post_trunk_norm.weight"] = zeros(7);
        CheckpointWriter.Write(_folder.File("other"), tensors);
        Assert.Contains("trunk.post_trunk_norm.weight is [7]", Assert.Throws<CheckpointException>(() => ModelSoup.Average([Source, _folder.File("other")], output)).Message, StringComparison.Ordinal);
        Assert.False(Path.Exists(output));
    }

    [Fact]
    public void NonsensicalRequests_AreRefused()
    {
        Assert.Contains("at least 2", Assert.Throws<ArgumentException>(() => ModelSoup.Average([Source], _folder.File("soup"))).Message, StringComparison.Ordinal);
        Assert.Contains("must go elsewhere", Assert.Throws<ArgumentException>(() => ModelSoup.Average([Source, Source], Source)).Message, StringComparison.Ordinal);
        string part = Noisy("part", double.NaN, 1);
        Assert.Contains("must go elsewhere", Assert.Throws<ArgumentException>(() => ModelSoup.Average([Source, part], part + Path.DirectorySeparatorChar)).Message, StringComparison.Ordinal);
        Directory.CreateSymbolicLink(_folder.File("link"), part);
        Assert.Contains("must go elsewhere", Assert.Throws<ArgumentException>(() => ModelSoup.Average([Source, part], _folder.File("link"))).Message, StringComparison.Ordinal);
        Assert.Contains("hold NaN", Assert.Throws<CheckpointException>(() => ModelSoup.Average([Source, part], _folder.File("soup"))).Message, StringComparison.Ordinal);
        Assert.False(Path.Exists(_folder.File("soup")));
    }

    [Fact]
    public void Cancelled_WritesNothing()
    {
        using var cancel = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => ModelSoup.Average([Source, Source], _folder.File("soup"), _ => cancel.Cancel(), cancel.Token));
        Assert.False(Path.Exists(_folder.File("soup")));
    }
}
