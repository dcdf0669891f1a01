using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Evaluation;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

public sealed class EvalCommandTests : IDisposable
{
    private static readonly string Aimv2 = TestData.Golden("aimv2_small"), InternVit = TestData.Golden("internvit_small"), SailVl = TestData.Golden("sailvl_qwen3_small");
    private static readonly string Photographs = Path.Combine(TestData.Root, "images");
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    private static JsonElement Json(string path) => JsonDocument.Parse(File.ReadAllText(path)).RootElement;

    private static string Succeeds(params string[] args)
    {
        var (exit, text, error) = Sailvit.Run(args);
        Assert.True(exit == 0, error);
        return text;
    }

    private static void Fails(string mentions, params string[] args)
    {
        var (exit, _, error) = Sailvit.Run(args);
        Assert.Equal(1, exit);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries), (string l) => l.StartsWith("sailvit: ", StringComparison.Ordinal));
        Assert.Contains(mentions, line, StringComparison.Ordinal);
        Assert.DoesNotContain("unexpected ", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Features_OfEveryPair()
    {
        string json = _folder.File("out.json"), plots = _folder.File("plots");
        string table = Succeeds("eval", "features", "--weights", Aimv2, InternVit, "--language", SailVl, "--images", Photographs, "--json", json, "--output", plots);
        Assert.Contains("nearest neighbour", table, StringComparison.Ordinal);
        var pairs = Json(json).GetProperty("pairs").EnumerateArray().ToList();
        Assert.Equal([Aimv2, InternVit], pairs.Select(p => p.GetProperty("encoder").GetString()));

        using var encoder = new VisionTransformer(ConfigFile.Read(Aimv2));
        CheckpointLoader.Load(encoder, Aimv2, EncoderFamily.Aimv2);
        encoder.eval();
        using var noGrad = no_grad();
        var images = Directory.GetFiles(Photographs).Where(f => !f.EndsWith(".md", StringComparison.Ordinal)).Order(StringComparer.Ordinal);
        var tokens = cat([.. images.Select(f => encoder.call(new SailVit.Model.Images.ImageTransform(56, 56).ToFloats(SailVit.Model.Images.ImageDecoder.Decode(f)))[0])]);
        var expected = FeatureDistance.Between(PrincipalPlane.Project(tokens), PrincipalPlane.Project(WordVectors.Read(SailVl)));
        Assert.Equal(tokens.shape[0], pairs[0].GetProperty("tokens").GetInt64());
        Assert.Equal(expected.NearestNeighbour, pairs[0].GetProperty("nearest_neighbour").GetDouble(), 1e-4);
        Assert.Equal(expected.Wasserstein, pairs[0].GetProperty("wasserstein").GetDouble(), 1e-4);
        Assert.Equal(expected.Overall, pairs[0].GetProperty("overall").GetDouble(), 1e-4);

        string[] names = ["sailvl_qwen3_small-aimv2_small.png", "sailvl_qwen3_small-all.png", "sailvl_qwen3_small-internvit_small.png"];
        Assert.Equal(names, Directory.GetFiles(plots).Select(Path.GetFileName).Order(StringComparer.Ordinal)!);
        Assert.All(names, n => Assert.Equal("PNG"u8, File.ReadAllBytes(Path.Combine(plots, n)).AsSpan(1, 3)));
    }

    [Fact]
    public void Features_OfTheConnector()
    {
        string json = _folder.File("out.json");
        Succeeds("eval", "features", "--connector", "--weights", SailVl, "--language", SailVl, "--images", Photographs, "--count", "2", "--seed", "4", "--json", json, "--wasserstein", "axes", "--standardise");
        Assert.Equal(2, Json(json).GetProperty("images").GetArrayLength());
        Fails("has no connector", "eval", "features", "--connector", "--weights", Aimv2, "--language", SailVl, "--images", Photographs);
    }

    [Fact]
    public void Probes_OfEveryKind_AndFromTheCache()
    {
        string set = Classes(), json = _folder.File("out.json"), cache = _folder.File("cache");
        string[] args = ["eval", "probe", "--weights", Aimv2, SailVl, "--train", set, "--test", set, "--kind", "mlp", "linear", "attentive", "nearest", "--neighbours", "1", "--epochs", "30", "--cache", cache, "--json", json];
        string table = Succeeds(args);
        Assert.Contains("attentive", table, StringComparison.Ordinal);
        string[] kept = Directory.GetFiles(cache);
        Assert.Equal(4, kept.Length);
        var times = kept.Select(File.GetLastWriteTimeUtc).ToList();
        string first = File.ReadAllText(json);
        var results = Json(json).GetProperty("results").EnumerateArray().ToList();
        Assert.Equal(8, results.Count);
        // A training image is its own nearest neighbour.
        Assert.All(results.Where(r => r.GetProperty("kind").GetString() == "nearest"), r => Assert.Equal(1, r.GetProperty("accuracy").GetDouble()));
        Succeeds(args);
        Assert.Equal(first, File.ReadAllText(json));
        Assert.Equal(times, kept.Select(File.GetLastWriteTimeUtc));
    }

    [Fact]
    public void Soup_AveragesAndProbes()
    {
        string set = Classes(), near = Noisy("near", 0.01), far = Noisy("far", 3), json = _folder.File("out.json");
        string table = Succeeds("soup", Aimv2, near, "--output", _folder.File("soup"), "--train", set, "--test", set, "--neighbours", "1", "--json", json);
        Assert.Contains("100.00 %", table, StringComparison.Ordinal);
        Assert.Equal(3, Json(json).GetProperty("results").GetArrayLength());
        Assert.Equal(0, Json(json).GetProperty("unlike").GetArrayLength());
        Succeeds("info", _folder.File("soup"));

        var (exit, _, error) = Sailvit.Run("soup", Aimv2, far, "--output", _folder.File("other"));
        Assert.Equal(0, exit);
        Assert.Contains("sailvit: warning: ", error, StringComparison.Ordinal);
        Fails("not of one architecture", "soup", Aimv2, InternVit, "--output", _folder.File("none"));
        Assert.False(Path.Exists(_folder.File("none")));
    }

    [Fact]
    public void BadInput_IsOneLine()
    {
        string set = Classes(), json = _folder.File("out.json");
        string[] Features(params string[] more) => ["eval", "features", "--weights", Aimv2, "--json", json, .. more];
        Fails("no embedding table", Features("--language", Aimv2, "--images", Photographs));
        Fails("no such file or folder", Features("--language", SailVl, "--images", _folder.File("none")));
        Fails("is no image", Features("--language", SailVl, "--images", _folder.Write("a.png", "text")));
        Fails("--count is 0", Features("--language", SailVl, "--images", Photographs, "--count", "0"));
        Fails("more than once", Features("--language", SailVl, SailVl, "--images", Photographs));
        Fails("no such folder", "eval", "probe", "--weights", Aimv2, "--train", _folder.File("none"), "--test", set, "--json", json);
        Fails("0 epochs", "eval", "probe", "--weights", Aimv2, "--train", set, "--test", set, "--epochs", "0", "--json", json);
        Fails("5 heads", "eval", "probe", "--weights", Aimv2, "--train", set, "--test", set, "--kind", "attentive", "--heads", "5", "--json", json);
        Fails("needs --train", "soup", Aimv2, Noisy("near", 0.01), "--output", _folder.File("soup"), "--test", set);
        Assert.False(File.Exists(json));
        Assert.False(Path.Exists(_folder.File("soup")));
    }

    private string Classes()
    {
        foreach (var (name, image) in new[] { ("animals", "chelsea.png"), ("animals", "astronaut.png"), ("things", "coffee.png"), ("things", "rocket.jpg") })
        {
            string folder = Directory.CreateDirectory(Path.Combine(_folder.File("set"), name)).FullName;
            File.Copy(TestData.Image(image), Path.Combine(folder, image), overwrite: true);
        }
        return _folder.File("set");
    }

    private string Noisy(string name, double noise)
    {
        using var random = new Generator(5);
        using var checkpoint = Checkpoint.Open(Aimv2);
        var tensors = checkpoint.Names.ToDictionary(n => n, n => checkpoint.Read(n) is var t ? t + (randn(t.shape, generator: random) * (noise * t.square().mean().sqrt())) : t);
        CheckpointWriter.Write(_folder.File(name), tensors, config: File.ReadAllText(Path.Combine(Aimv2, ConfigFile.Name)));
        return _folder.File(name);
    }
}
