using SailVit.Model.Checkpoints;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

/// <summary>An embed that is interrupted or killed, and the same command again.</summary>
public sealed class EmbedResumeTests : IDisposable
{
    // Ctrl+C is SIGINT, which the same handler takes; but a test run in the background inherits it as ignored.
    private const int SigKill = 9, SigTerm = 15;
    private const int Rows = 1500;

    private readonly TempFolder _folder = new();
    private readonly string _pixels, _uninterrupted;

    public EmbedResumeTests()
    {
        using var scope = torch.NewDisposeScope();
        _pixels = _folder.File("pixels.safetensors");
        SafetensorsWriter.Write(_pixels, new Dictionary<string, Tensor> { ["input.pixel_values"] = torch.randn(Rows, 3, 28, 28, generator: new Generator(1)) });
        _uninterrupted = _folder.File("whole");
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(SigTerm, ".safetensors")]
    [InlineData(SigTerm, ".npy")]
    [InlineData(SigKill, ".parquet")]
    public void AnInterruptedRunGoesOnAndGivesTheSameFile(int signal, string format)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        string output = _folder.File("features" + format);
        var (exit, error) = Interrupt(signal, output);
        if (signal == SigKill)
        {
            Assert.Equal(137, exit);
        }
        else
        {
            Assert.Equal(130, exit);
            Assert.Matches($@"^sailvit: interrupted; \d+ of {Rows} rows are kept in .*{format}\.partial, and the same command goes on from there\.$", error.Trim());
        }
        Assert.False(File.Exists(output));

        var again = Sailvit.Run(Arguments(output));
        Assert.True(again.Exit == 0, again.Error);
        Assert.Matches($@"^embed: goes on after \d+ of {Rows} rows", again.Error);
        Assert.Equal(0, Sailvit.Run(Arguments(_uninterrupted + format)).Exit);
        Assert.True(File.ReadAllBytes(_uninterrupted + format).AsSpan().SequenceEqual(File.ReadAllBytes(output)));
        Assert.Equal(["features" + format, "pixels.safetensors", "whole" + format], Directory.GetFiles(_folder.Path).Select(file => Path.GetFileName(file)).Order());
    }

    [Theory]
    [InlineData("options", "the options have changed (last Float32 batch 1 → last Float32 batch 7)")]
    [InlineData("inputs", "the inputs have changed")]
    [InlineData("weights", "the weights have changed")]
    [InlineData("journal", "it recorded no row")]
    public void ARunOfSomethingElseStartsOverAndSaysWhy(string changed, string reason)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        string output = _folder.File("features.safetensors");
        Interrupt(SigTerm, output);
        switch (changed)
        {
            case "inputs":
                File.SetLastWriteTimeUtc(_pixels, DateTime.UtcNow.AddMinutes(1));
                break;
            case "journal":
                File.WriteAllText(output + ".partial.json", "{");
                break;
        }
        string weights = changed == "weights" ? Copy("aimv2_small") : TestData.Golden("aimv2_small");
        var (exit, _, error) = Sailvit.Run([.. Arguments(output, weights), .. changed == "options" ? ["--batch-size", "7"] : Array.Empty<string>()]);
        Assert.True(exit == 0, error);
        Assert.Contains($"cannot go on with the interrupted run in {output}.partial ({reason}); starts over", error, StringComparison.Ordinal);
        Assert.False(File.Exists(output + ".partial") || File.Exists(output + ".partial.json"));
        using var features = SafetensorsFile.Open(output);
        Assert.Equal(Rows, features.Tensors["last"].Shape[0]);
    }

    private static string[] Arguments(string output, string? weights = null) =>
        ["embed", "--weights", weights ?? TestData.Golden("aimv2_small"), "--input", Path.Combine(Path.GetDirectoryName(output)!, "pixels.safetensors"), "--output", output];

    private static (int Exit, string Error) Interrupt(int signal, string output) =>
        Sailvit.Kill(signal, output + ".partial.json", Arguments(output)) ?? throw new InvalidOperationException("The run was through before it could be interrupted; it needs more rows.");

    private string Copy(string golden)
    {
        string folder = Directory.CreateDirectory(_folder.File("weights")).FullName;
        foreach (string name in (string[])[ConfigFile.Name, Checkpoint.FileName])
        {
            File.Copy(TestData.Golden(golden, name), Path.Combine(folder, name));
        }
        return folder;
    }
}
