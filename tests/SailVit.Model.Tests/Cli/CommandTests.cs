using System.Text.Json;
using Parquet;
using SailVit.Model.Checkpoints;
using SailVit.Model.Tests.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

public sealed class CommandTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("aimv2_small", 3)]
    [InlineData("internvit_small", 4)]
    public void EmbedGivesTheExpectedFeaturesOfAPixelFile(string golden, int states)
    {
        string expectedPath = TestData.Golden(golden, "expected.safetensors"), output = _folder.File("features.safetensors");
        string layers = string.Join(',', Enumerable.Range(0, states));
        var (exit, _, error) = Sailvit.Run("embed", "--weights", TestData.Golden(golden), "--input", expectedPath, "--output", output, "--layers", $"{layers},last", "--batch-size", "3");
        Assert.True(exit == 0, error);
        using var features = SafetensorsFile.Open(output);
        using var expected = SafetensorsFile.Open(expectedPath);
        Assert.Equal(states + 1, features.Tensors.Count);
        Assert.All(features.Tensors.Keys, key => Assert.InRange(RelativeError(features.Read(key), expected.Read($"output.{key}")), 0, 1e-5));
        Assert.Equal([$"{expectedPath}[0]", $"{expectedPath}[1]"], JsonSerializer.Deserialize<string[]>(features.Metadata["files"])!);
    }

    [Fact]
    public void EmbedTakesImagesFoldersAndOnePixel()
    {
        string dot = _folder.Write("dot.png", EncodedImages.Png(1, 1, 8, EncodedImages.Rgb, [9, 99, 199]));
        string output = _folder.File("features.safetensors");
        var (exit, _, error) = Sailvit.Run("embed", "--weights", TestData.Golden("aimv2_small"), "--dtype", "bfloat16", "--batch-size", "4", "--input", Path.Combine(TestData.Root, "images"), dot, "--output", output);
        Assert.True(exit == 0, error);
        using var features = SafetensorsFile.Open(output);
        Assert.Equal(("BF16", 6), (features.Tensors["last"].DType, features.Tensors["last"].Shape[0]));
        Assert.Equal(dot, JsonSerializer.Deserialize<string[]>(features.Metadata["files"])![5]);
        Assert.True(features.Read("last").isfinite().all().item<bool>());
    }

    [Fact]
    public void EmbedWritesNumPyFiles()
    {
        string output = _folder.File("features.npy");
        var (exit, _, error) = Sailvit.Run("embed", "--weights", TestData.Golden("internvit_small"), "--input", TestData.Image("coffee.png"), "--output", output);
        Assert.True(exit == 0, error);
        Assert.Equal(128 + (4 * 17 * 128), new FileInfo(output).Length);
    }

    [Theory]
    [InlineData("float32")]
    [InlineData("bfloat16")]
    public async Task EmbedWritesParquetTables(string dtype)
    {
        string[] Arguments(string output) => ["embed", "--weights", TestData.Golden("internvit_small"), "--dtype", dtype, "--layers", "1,last", "--input", Path.Combine(TestData.Root, "images"), "--output", output];
        string output = _folder.File("features.parquet"), reference = _folder.File("features.safetensors");
        Assert.Equal((0, 0), (Sailvit.Run(Arguments(output)).Exit, Sailvit.Run(Arguments(reference)).Exit));
        using var expected = SafetensorsFile.Open(reference);
        await using var table = await ParquetReader.CreateAsync(output);
        Assert.Equal("[17,128]", table.CustomMetadata["shape"]);
        Assert.EndsWith("internvit_small", table.CustomMetadata["model"], StringComparison.Ordinal);
        Assert.Equal(["file", "hidden.1", "last"], table.Schema.Fields.Select(field => field.Name));
        using var group = table.OpenRowGroupReader(0);
        string[] files = new string[5];
        await group.ReadAsync(table.Schema.DataFields[0], files);
        Assert.Equal(JsonSerializer.Deserialize<string[]>(expected.Metadata["files"])!, files);
        foreach (var field in table.Schema.DataFields.Skip(1))
        {
            float[] values = new float[5 * 17 * 128];
            int[] defined = new int[values.Length], repeated = new int[values.Length];
            await group.ReadRawAsync<float>(field, values, defined, repeated, CancellationToken.None);
            Assert.Equal(expected.Read(field.Path.FirstPart!).to(ScalarType.Float32).data<float>().ToArray(), values);
            Assert.All(repeated, (level, i) => Assert.Equal(i % (17 * 128) == 0 ? 0 : 1, level));
        }
    }

    [Theory]
    [InlineData("aimv2_small", 30)]
    [InlineData("internvit_small", 51)]
    [InlineData("sailvl_qwen3_small", 65)]
    public void VerifyPassesThePublishedOutputsAndGradients(string golden, int tensors)
    {
        string json = _folder.File("errors.json");
        var (exit, output, error) = Sailvit.Run("verify", "--weights", TestData.Golden(golden), "--expected", TestData.Golden(golden, "expected.safetensors"), "--tolerance", "1e-5", "--json", json);
        Assert.True(exit == 0, output + error);
        using var report = JsonDocument.Parse(File.ReadAllText(json));
        Assert.True(report.RootElement.GetProperty("passed").GetBoolean());
        Assert.Equal(tensors, report.RootElement.GetProperty("tensors").GetArrayLength());
    }

    [Fact]
    public void VerifyFailsAboveTheTolerance()
    {
        using var golden = SafetensorsFile.Open(TestData.Golden("aimv2_small", "expected.safetensors"));
        var changed = new Dictionary<string, Tensor> { ["input.pixel_values"] = golden.Read("input.pixel_values"), ["output.last"] = golden.Read("output.last") * 1.001 };
        string expected = _folder.File("expected.safetensors"), json = _folder.File("errors.json");
        SafetensorsWriter.Write(expected, changed);
        Assert.Equal(1, Sailvit.Run("verify", "--weights", TestData.Golden("aimv2_small"), "--expected", expected, "--json", json).Exit);
        using var report = JsonDocument.Parse(File.ReadAllText(json));
        Assert.Equal(0.001 / 1.001, report.RootElement.GetProperty("tensors")[0].GetProperty("relative_error").GetDouble(), 1e-6);
        Assert.Equal(0, Sailvit.Run("verify", "--weights", TestData.Golden("aimv2_small"), "--expected", expected, "--tolerance", "0.01").Exit);
    }

    [Fact]
    public void RandomWeightsAreSeededAndSaidToBeRandom()
    {
        // The pixels are small, so that the smallest named model is quick.
        string pixels = _folder.File("pixels.safetensors");
        SafetensorsWriter.Write(pixels, new Dictionary<string, Tensor> { ["input.pixel_values"] = torch.ones(1, 3, 28, 28) });
        Tensor[] last = [Random(pixels, "1"), Random(pixels, "1"), Random(pixels, "2")];
        Assert.True(TestData.Same(last[0], last[1]));
        Assert.False(TestData.Same(last[0], last[2]));
    }

    [Fact]
    public void InfoCountsWhatIsThere()
    {
        string json = _folder.File("info.json");
        var (exit, output, _) = Sailvit.Run("info", "sailvit-large", "--json", json);
        Assert.Equal(0, exit);
        Assert.Contains("309,984,256", output, StringComparison.Ordinal);
        using var values = JsonDocument.Parse(File.ReadAllText(json));
        Assert.Equal(309_984_256, values.RootElement.GetProperty("parameters").GetInt64());
        Assert.Contains("26, 680,576 elements", Sailvit.Run("info", TestData.Golden("aimv2_small")).Out, StringComparison.Ordinal);
    }

    private Tensor Random(string pixels, string seed)
    {
        string output = _folder.File($"{Guid.NewGuid():N}.safetensors");
        var (exit, text, error) = Sailvit.Run("embed", "--model", "aimv2-base", "--seed", seed, "--input", pixels, "--output", output);
        Assert.True(exit == 0, error);
        Assert.Contains("random weights", text, StringComparison.Ordinal);
        using var features = SafetensorsFile.Open(output);
        Assert.Contains($"seed {seed}", features.Metadata["model"], StringComparison.Ordinal);
        return features.Read("last");
    }

    private static double RelativeError(Tensor actual, Tensor expected) =>
        ((actual - expected).norm() / expected.norm()).to(ScalarType.Float64).item<double>();
}
