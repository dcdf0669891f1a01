using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Images;

public sealed class ImagePipelineTests : IDisposable
{
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData("chelsea.png", 448, 448, 0)]
    [InlineData("chelsea.png", 112, 84, 0)]
    // JPEG decoders may differ by a level before the resize.
    [InlineData("rocket.jpg", 448, 448, 1)]
    [InlineData("rocket.jpg", 112, 84, 1)]
    public void ResizeAgreesWithPillow(string name, int width, int height, int tolerance)
    {
        using var golden = SafetensorsFile.Open(TestData.Golden("resize_bicubic.safetensors"));
        var expected = golden.Read($"{name}.bicubic.{width}x{height}");
        var image = ImageDecoder.Decode(TestData.Image(name));
        var actual = new ImageTransform(height, width).ToBytes(image)[0].permute(1, 2, 0);
        Assert.InRange((actual.to(ScalarType.Int32) - expected.to(ScalarType.Int32)).abs().max().item<int>(), 0, tolerance);
    }

    [Theory]
    [InlineData(1, 1, 448, 448)]
    [InlineData(1, 7, 5, 3)]
    [InlineData(1000, 1, 3, 14)]
    [InlineData(13, 11, 1, 1)]
    public void AnEvenImageStaysEvenAtAnySize(int width, int height, int newWidth, int newHeight)
    {
        var image = new RgbImage(width, height);
        for (int i = 0; i < width * height; i++)
        {
            image[i % width, i / width] = (3, 128, 255);
        }
        var resized = BicubicResize.Resize(image, newWidth, newHeight);
        Assert.Equal((newWidth, newHeight), (resized.Width, resized.Height));
        Assert.All(Enumerable.Range(0, newWidth * newHeight), i => Assert.Equal(((byte)3, (byte)128, (byte)255), resized[i % newWidth, i / newWidth]));
    }

    [Fact]
    public void TilingAgreesWithTheGoldenTableOnEveryRow()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(TestData.Golden("tiling.json")));
        var rows = json.RootElement.GetProperty("rows").EnumerateArray().Select(row => row.EnumerateArray().Select(n => n.GetInt32()).ToArray()).ToList();
        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Equal((row[4], row[5]), new DynamicTiling(row[2], row[3]).Grid(row[0], row[1])));
    }

    [Fact]
    public void TilesAreCutRowByRowAndTheThumbnailComesLast()
    {
        var image = ImageDecoder.Decode(TestData.Image("rocket.jpg"));
        var tiles = new DynamicTiling(1, 6, 56, Thumbnail: true).Split(image);
        Assert.Equal(7, tiles.Count);
        var whole = BicubicResize.Resize(image, 3 * 56, 2 * 56);
        Assert.Equal(whole[56 + 5, 56 + 9], tiles[4][5, 9]);
        Assert.Equal(BicubicResize.Resize(image, 56, 56).Data, tiles[6].Data);
        Assert.Single(new DynamicTiling(1, 1, 56, Thumbnail: true).Split(image));
    }

    [Theory]
    [InlineData(0, 6)]
    [InlineData(3, 2)]
    public void ImpossibleTilingsAreRefused(int min, int max) =>
        Assert.Throws<ArgumentException>(() => new DynamicTiling(min, max).Grid(100, 100));

    [Fact]
    public void FloatsAreTheBytesNormalised()
    {
        var transform = new ImageTransform(28, 42);
        RgbImage[] images = [ImageDecoder.Decode(TestData.Image("chelsea.png")), ImageDecoder.Decode(TestData.Image("coffee.png"))];
        var bytes = transform.ToBytes(images);
        Assert.Equal([2, 3, 28, 42], bytes.shape);
        Assert.Equal(ScalarType.Byte, bytes.dtype);
        var mean = torch.tensor(ImageTransform.Mean.ToArray()).view(3, 1, 1);
        var std = torch.tensor(ImageTransform.Std.ToArray()).view(3, 1, 1);
        var expected = (bytes.to(ScalarType.Float32) / 255 - mean) / std;
        Assert.True(transform.ToFloats(images).allclose(expected, 1e-6, 1e-7));
    }
}
