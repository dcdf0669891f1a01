using System.Diagnostics;
using SailVit.Model.Checkpoints;
using SailVit.Model.Tests.Checkpoints;
using SailVit.Model.Tests.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

/// <summary>Whatever is wrong with the input: one line, exit code 1, no output.</summary>
public sealed class BadInputTests : IDisposable
{
    private static readonly string Aimv2 = TestData.Golden("aimv2_small");
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void AFileThatIsNoImage() => Embed("is no image", input: _folder.Write("note.jpg", "not an image"));

    [Fact]
    public void ATruncatedPhotographAmongGoodOnes() =>
        Embed("is truncated", null, TestData.Image("coffee.png"), _folder.Write("half.jpg", File.ReadAllBytes(TestData.Image("rocket.jpg"))[..40_000]));

    [Fact]
    public void AnEmptyFolder() => Embed("holds no image", input: Directory.CreateDirectory(_folder.File("empty")).FullName);

    [Fact]
    public void AWrongPath() => Embed("no such file or folder", input: _folder.File("none.jpg"));

    [Fact]
    public void AMissingCheckpoint() => Embed("there is no such folder. A checkpoint folder holds config.json", weights: _folder.File("none"));

    [Fact]
    public void AnEmptyCheckpointFolder() => Embed("config.json: there is no such file. A checkpoint folder holds", weights: _folder.Path);

    [Fact]
    public void AnImageThatIsTooLarge() => Embed("20,000 × 20,000", input: _folder.Write("huge.png", EncodedImages.Png(20_000, 20_000, 8, EncodedImages.Grey, new byte[20_000])));

    [Fact]
    public void PixelsThatAreNotFinite()
    {
        var pixels = torch.zeros(2, 3, 56, 56);
        pixels[1, 2, 3, 4] = float.NaN;
        Embed("NaN", input: Write("pixels", PixelKey, pixels));
    }

    [Theory]
    [InlineData(3, 56, 56)]
    [InlineData(1, 1, 56, 56)]
    [InlineData(1, 3, 55, 56)]
    [InlineData(0, 3, 56, 56)]
    public void PixelsOfAWrongShape(params int[] shape) =>
        Embed(PixelKey, input: Write("pixels", PixelKey, torch.zeros([.. shape.Select(n => (long)n)])));

    [Fact]
    public void ATensorFileWithoutPixels() => Embed(PixelKey, input: Write("other", "x", torch.zeros(1)));

    [Fact]
    public void ACheckpointWithMisfits()
    {
        var tensors = Tensors();
        tensors.Remove("preprocessor.pos_embed");
        tensors["trunk.post_trunk_norm.weight"] = torch.zeros(7);
        tensors["trunk.blocks.0.norm_1.weight"] = torch.zeros(128, dtype: ScalarType.Int32);
        SafetensorsWriter.Write(_folder.File(Checkpoint.FileName), tensors);
        File.Copy(Path.Combine(Aimv2, ConfigFile.Name), _folder.File(ConfigFile.Name));
        Embed("missing preprocessor.pos_embed; trunk.blocks.0.norm_1.weight has dtype I32", weights: _folder.Path);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", null, "overlap")]
    [InlineData("{}", 1L << 40, "header claims")]
    public void AMalformedCheckpoint(string header, long? claimed, string mentions)
    {
        _folder.Write(Checkpoint.FileName, SafetensorsBytes.File(header, 12, claimed));
        File.Copy(Path.Combine(Aimv2, ConfigFile.Name), _folder.File(ConfigFile.Name));
        Embed(mentions, weights: _folder.Path);
    }

    [Fact]
    public void AConfigOfAnUnknownModel()
    {
        _folder.Write(ConfigFile.Name, """{"model_type":"bert"}""");
        Embed("known are aimv2", weights: _folder.Path);
    }

    [Fact]
    public void AnOutputInAMissingFolder() =>
        OneLine("there is no folder", "embed", "--weights", Aimv2, "--input", TestData.Image("coffee.png"), "--output", _folder.File("no/such/out.safetensors"));

    [Fact]
    public void AnOutputThatIsAnInput()
    {
        string weights = Directory.CreateDirectory(_folder.File("weights")).FullName, pixels = Write("pixels", PixelKey, torch.zeros(1, 3, 56, 56)), link = _folder.File("link.safetensors");
        foreach (string name in (string[])[Checkpoint.FileName, ConfigFile.Name])
        {
            File.Copy(Path.Combine(Aimv2, name), Path.Combine(weights, name));
        }
        File.CreateSymbolicLink(link, pixels);
        byte[] before = File.ReadAllBytes(pixels);
        OneLine("is an input as well", "embed", "--weights", weights, "--input", pixels, "--output", link);
        OneLine("is an input as well", "embed", "--weights", weights, "--input", pixels, "--output", Path.Combine(weights, Checkpoint.FileName));
        OneLine("is an input as well", "verify", "--weights", weights, "--expected", pixels, "--json", pixels);
        OneLine("is an input as well", "verify", "--weights", weights, "--expected", pixels, "--json", Path.Combine(weights, ConfigFile.Name));
        Assert.Equal(before, File.ReadAllBytes(pixels));
    }

    [Fact]
    public void AnOutputThatIsADevice()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no devices among files.");
        Assert.Contains("is a device", Assert.Throws<CheckpointException>(() => Files.CheckOutput("/dev/null")).Message, StringComparison.Ordinal);
        Assert.Contains("is a device", Assert.Throws<CheckpointException>(() => new AtomicFile("/dev/null")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnOutputLargerThanFilesMayBe()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "ulimit is a shell's.");
        string output = Directory.CreateDirectory(_folder.File("small")).FullName;
        // 8 KiB; the runtime's own double mapping of code would be such a file too.
        var start = new ProcessStartInfo("sh", ["-c", "ulimit -f 8; exec dotnet \"$@\"", "sh", Sailvit.Library, "embed", "--weights", Aimv2, "--input", TestData.Image("coffee.png"), "--output", Path.Combine(output, "out.safetensors"), "--layers", "0,last"])
        {
            RedirectStandardError = true,
            Environment = { ["DOTNET_EnableWriteXorExecute"] = "0" },
        };
        using var process = Process.Start(start)!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Contains("larger than the file system takes", error, StringComparison.Ordinal);
        Assert.Equal(1, process.ExitCode);
        Assert.Empty(Directory.GetFiles(output));
    }

    [Fact]
    public void WeightsThatAreNotFinite()
    {
        var tensors = Tensors();
        tensors["trunk.post_trunk_norm.weight"] = torch.full(128, double.NaN, dtype: ScalarType.Float32);
        CheckpointWriter.Write(_folder.File("nan"), tensors, config: File.ReadAllText(Path.Combine(Aimv2, ConfigFile.Name)));
        Embed("the features hold NaN", weights: _folder.File("nan"));
    }

    [Theory]
    [InlineData("", "is no path")]
    [InlineData("no/such/folder.json", "could not be written: there is no folder")]
    [InlineData(".", "is a folder")]
    public void ResultsThatCannotBeWritten(string json, string mentions) => OneLine($"--json {json}: {mentions}", "bench", "ops", "--quick", "--json", json);

    [Fact]
    public void AnOptionOfAnotherType() => OneLine("for option '--batch-size': it must be a whole number. See", "embed", "--input", "a", "--output", "b", "--batch-size", "many");

    [Theory]
    [InlineData("--layers", "3")]
    [InlineData("--layers", "")]
    [InlineData("--dtype", "int8")]
    [InlineData("--batch-size", "0")]
    [InlineData("--backend", "abacus")]
    [InlineData("--model", "sailvit-tiny")]
    [InlineData("--no-such-option", "1")]
    public void AnOptionThatCannotBe(string option, string value) =>
        OneLine("", "embed", "--input", TestData.Image("coffee.png"), "--output", _folder.File("out.safetensors"), option == "--model" ? "--seed" : "--weights", option == "--model" ? "1" : Aimv2, option, value);

    [Fact]
    public void NothingToVerify() => OneLine("nothing to compare", "verify", "--weights", Aimv2, "--expected", Write("pixels", PixelKey, torch.zeros(1, 3, 56, 56)));

    [Fact]
    public void InfoOfNothing() => OneLine("no model of that name", "info", _folder.File("none"));

    [Fact]
    public void AWrongVerb() => OneLine("'bogus' is no command", "bogus", "--weights", Aimv2);

    private const string PixelKey = "input.pixel_values";

    private static Dictionary<string, Tensor> Tensors()
    {
        using var checkpoint = Checkpoint.Open(Aimv2);
        return checkpoint.Names.ToDictionary(name => name, checkpoint.Read);
    }

    private string Write(string name, string key, Tensor tensor)
    {
        string path = _folder.File($"{name}.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { [key] = tensor });
        return path;
    }

    private void Embed(string mentions, string? weights = null, params string[] input)
    {
        string output = Directory.CreateDirectory(_folder.File("output")).FullName;
        OneLine(mentions, ["embed", "--weights", weights ?? Aimv2, "--output", Path.Combine(output, "out.safetensors"), "--input", .. input.DefaultIfEmpty(TestData.Image("coffee.png"))]);
        Assert.Empty(Directory.GetFiles(output));
    }

    private static void OneLine(string mentions, params string[] args)
    {
        var (exit, _, error) = Sailvit.Run(args);
        Assert.Equal(1, exit);
        // Progress of the good images before may stand above it.
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries), (string l) => !l.StartsWith("embed: ", StringComparison.Ordinal));
        Assert.StartsWith("sailvit: ", line, StringComparison.Ordinal);
        Assert.Contains(mentions, line, StringComparison.Ordinal);
        Assert.DoesNotContain("unexpected ", line, StringComparison.Ordinal);
    }
}
