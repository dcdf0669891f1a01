using System.Text.RegularExpressions;
using SailVit.Model.Checkpoints;
using SailVit.Model.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

public sealed partial class QuickstartTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [GeneratedRegex(@"SailVit\s+[\d,]+\s+[\d.]+ ×\s+(\d\.\dE-\d+)\s+[\d,]+ MB")]
    private static partial Regex Row();

    [Theory]
    [InlineData("aimv2_small")]
    [InlineData("internvit_small")]
    public void ComparesBothSidesAndWritesFeaturesAndPicture(string golden)
    {
        using var scope = torch.NewDisposeScope();
        string output = _folder.File("out");
        var (exit, text, error) = Sailvit.Run("quickstart", "--weights", TestData.Golden(golden), "--output", output);
        Assert.True(exit == 0, error);
        var row = Row().Match(text);
        Assert.True(row.Success, text);
        Assert.InRange(double.Parse(row.Groups[1].Value), 0, 1e-5);

        using var features = SafetensorsFile.Open(Path.Combine(output, "features.safetensors"));
        Assert.Equal(5, features.Tensors["last"].Shape[0]);
        Assert.True(features.Read("last").isfinite().all().item<bool>());
        var picture = ImageDecoder.Decode(Path.Combine(output, "features.png"));
        Assert.True(picture.Width > 1000 && picture.Height > 500, $"{picture.Width} × {picture.Height}");
        // Photographs and colours, not a blank sheet.
        Assert.True(picture.Data.Distinct().Count() > 100);
    }

    [Theory]
    [InlineData("--rounds", "0")]
    [InlineData("--images", "no-such-folder")]
    [InlineData("--output", "/dev/null")]
    public void BadInput_IsOneLine(string option, string value)
    {
        var (exit, _, error) = Sailvit.Run("quickstart", "--weights", TestData.Golden("aimv2_small"), option == "--output" ? "--seed" : "--output", option == "--output" ? "1" : _folder.File("out"), option, value);
        Assert.Equal(1, exit);
        Assert.Single(error.TrimEnd().Split('\n'));
    }
}
