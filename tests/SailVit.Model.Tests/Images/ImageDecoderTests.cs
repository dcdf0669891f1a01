using SailVit.Model.Images;
using SkiaSharp;
using Xunit;
using static SailVit.Model.Tests.Images.EncodedImages;

namespace SailVit.Model.Tests.Images;

public sealed class ImageDecoderTests : IDisposable
{
    private static readonly byte[] FourColors = [10, 20, 30, 200, 100, 50, 0, 255, 0, 255, 0, 255];
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(SKEncodedImageFormat.Png, 0)]
    [InlineData(SKEncodedImageFormat.Jpeg, 12)]
    [InlineData(SKEncodedImageFormat.Webp, 12)]
    public void ColorsSurvive(SKEncodedImageFormat format, int tolerance)
    {
        var image = ImageDecoder.Decode(Skia(24, 16, format, (x, y) => new SKColor((byte)(x * 10), (byte)(y * 15), 90)), "test");
        Assert.Equal((24, 16), (image.Width, image.Height));
        AssertColors(image, (x, y) => ((byte)(x * 10), (byte)(y * 15), 90), tolerance);
    }

    [Fact]
    public void AlphaIsDroppedAndTheColorBelowKept()
    {
        byte[] rows = [200, 100, 50, 0, 200, 100, 50, 1, 200, 100, 50, 128, 200, 100, 50, 255];
        AssertColors(ImageDecoder.Decode(Png(2, 2, 8, Rgba, rows), "test"), (_, _) => (200, 100, 50), 0);
    }

    [Theory]
    [InlineData(8, new byte[] { 0, 1, 2, 3 })]
    [InlineData(2, new byte[] { 0b00_01_10_11 })]
    public void PalettesAreResolved(int bits, byte[] row)
    {
        var image = ImageDecoder.Decode(Png(4, 1, bits, Palette, row, FourColors), "test");
        AssertColors(image, (x, _) => (FourColors[3 * x], FourColors[(3 * x) + 1], FourColors[(3 * x) + 2]), 0);
    }

    [Fact]
    public void TransparentPaletteEntriesKeepTheirColor()
    {
        var image = ImageDecoder.Decode(Png(4, 1, 8, Palette, [0, 1, 2, 3], FourColors, [0, 128]), "test");
        AssertColors(image, (x, _) => (FourColors[3 * x], FourColors[(3 * x) + 1], FourColors[(3 * x) + 2]), 0);
    }

    [Theory]
    [InlineData(8, new byte[] { 0, 100, 255 })]
    [InlineData(16, new byte[] { 0, 0, 100, 0, 255, 255 })]
    public void GreyBecomesThreeEqualColors(int bits, byte[] row)
    {
        byte[] expected = [0, 100, 255];
        AssertColors(ImageDecoder.Decode(Png(3, 1, bits, Grey, row), "test"), (x, _) => (expected[x], expected[x], expected[x]), 0);
    }

    [Fact]
    public void SixteenBitsBecomeTheirUpperEight()
    {
        byte[] row = [10, 0, 20, 0, 30, 0, 255, 255, 0, 0, 128, 0];
        (byte, byte, byte)[] expected = [(10, 20, 30), (255, 0, 128)];
        AssertColors(ImageDecoder.Decode(Png(2, 1, 16, Rgb, row), "test"), (x, _) => expected[x], 0);
    }

    [Fact]
    public void AGifShowsItsFirstFrame()
    {
        byte[] indices = [.. Enumerable.Range(0, 240).Select(i => (byte)(i % 4))];
        var image = ImageDecoder.Decode(Gif(20, 12, indices, FourColors), "test");
        Assert.Equal((20, 12), (image.Width, image.Height));
        AssertColors(image, (x, y) => At(((y * 20) + x) % 4), 0);

        static (byte, byte, byte) At(int i) => (FourColors[3 * i], FourColors[(3 * i) + 1], FourColors[(3 * i) + 2]);
    }

    /// <summary>Where the stored image's corners top left, top right, bottom left appear when it is shown upright.</summary>
    [Theory]
    [InlineData(1, 0, 0, 1, 0, 0, 1)]
    [InlineData(2, 1, 0, 0, 0, 1, 1)]
    [InlineData(3, 1, 1, 0, 1, 1, 0)]
    [InlineData(4, 0, 1, 1, 1, 0, 0)]
    [InlineData(5, 0, 0, 0, 1, 1, 0)]
    [InlineData(6, 1, 0, 1, 1, 0, 0)]
    [InlineData(7, 1, 1, 1, 0, 0, 1)]
    [InlineData(8, 0, 1, 0, 0, 1, 1)]
    public void ExifOrientationIsApplied(byte orientation, int redX, int redY, int greenX, int greenY, int blueX, int blueY)
    {
        byte[] jpeg = Skia(32, 16, SKEncodedImageFormat.Jpeg, (x, y) => y < 8 ? (x < 16 ? SKColors.Red : SKColors.Lime) : (x < 16 ? SKColors.Blue : SKColors.White));
        var image = ImageDecoder.Decode(WithOrientation(jpeg, orientation), "test");
        Assert.Equal(orientation < 5 ? (32, 16) : (16, 32), (image.Width, image.Height));
        Near((255, 0, 0), Corner(redX, redY), 12);
        Near((0, 255, 0), Corner(greenX, greenY), 12);
        Near((0, 0, 255), Corner(blueX, blueY), 12);

        (byte, byte, byte) Corner(int right, int bottom) => image[right * (image.Width - 1), bottom * (image.Height - 1)];
    }

    [Theory]
    [InlineData(0, "empty")]
    [InlineData(1, "no image")]
    [InlineData(300, "no image")]
    public void AFileThatIsNoImageIsOneClearError(int bytes, string mentions)
    {
        byte[] content = [.. Enumerable.Range(0, bytes).Select(i => (byte)((i * 37) + 1))];
        Contains(mentions, () => ImageDecoder.Decode(_folder.Write("note.png", content)));
    }

    [Theory]
    [InlineData(SKEncodedImageFormat.Jpeg)]
    [InlineData(SKEncodedImageFormat.Png)]
    [InlineData(SKEncodedImageFormat.Webp)]
    public void ATruncatedImageIsOneClearErrorWhereverItEnds(SKEncodedImageFormat format)
    {
        byte[] whole = Skia(64, 64, format, (x, y) => new SKColor((byte)(x * y), (byte)(x * 31), (byte)(y * 17)), 90);
        // The last bytes are checksums and end marks, whose loss costs no pixel.
        for (int keep = 1; keep < whole.Length - 24; keep += 1 + (whole.Length / 40))
        {
            var error = Record.Exception(() => ImageDecoder.Decode(whole.AsSpan(0, keep), "test"));
            Assert.True(error is ImageException, $"{keep} of {whole.Length} bytes: {error}");
        }
    }

    [Fact]
    public void ATruncatedPhotographIsOneClearError()
    {
        byte[] photo = File.ReadAllBytes(TestData.Image("rocket.jpg"));
        Contains("truncated", () => ImageDecoder.Decode(_folder.Write("half.jpg", photo[..(photo.Length / 2)])));
    }

    [Fact]
    public void AHugeImageIsRefusedBeforeItIsDecoded() =>
        Contains("20,000 × 20,000", () => ImageDecoder.Decode(Png(20_000, 20_000, 8, Grey, new byte[20_000]), "test"));

    [Fact]
    public void AnImageOfOnePixelIsDecoded()
    {
        var image = ImageDecoder.Decode(Png(1, 1, 8, Rgb, [1, 2, 3]), "test");
        Assert.Equal(((byte)1, (byte)2, (byte)3), image[0, 0]);
    }

    [Fact]
    public void AMissingFileAndAFolderAreNamed()
    {
        Contains("no such file", () => ImageDecoder.Decode(_folder.File("none.png")));
        Contains("is a folder", () => ImageDecoder.Decode(_folder.Path));
    }

    [Fact]
    public void DamagedImagesNeverDoMoreThanThrow()
    {
        const int Seed = 7;
        var random = new Random(Seed);
        byte[][] files = [Skia(24, 24, SKEncodedImageFormat.Jpeg, Noise), Skia(24, 24, SKEncodedImageFormat.Png, Noise), Skia(24, 24, SKEncodedImageFormat.Webp, Noise), Gif(8, 8, new byte[64], FourColors)];
        for (int i = 0; i < 2000; i++)
        {
            byte[] file = [.. files[i % files.Length]];
            for (int n = random.Next(1, 6); n > 0; n--)
            {
                file[random.Next(file.Length)] = (byte)random.Next(256);
            }
            try
            {
                ImageDecoder.Decode(file, "test");
            }
            catch (Exception e) when (e is not ImageException)
            {
                Assert.Fail($"Case {i} of seed {Seed}: {e}");
            }
            catch (ImageException)
            {
            }
        }

        static SKColor Noise(int x, int y) => new((byte)(x * y * 7), (byte)(x * 31), (byte)(y * 17));
    }

    private static void Contains(string mentions, Func<object> decode) =>
        Assert.Contains(mentions, Assert.Throws<ImageException>(decode).Message, StringComparison.Ordinal);

    private static void AssertColors(RgbImage image, Func<int, int, (byte, byte, byte)> expected, int tolerance)
    {
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
            {
                Near(expected(x, y), image[x, y], tolerance);
            }
        }
    }

    private static void Near((byte R, byte G, byte B) expected, (byte R, byte G, byte B) actual, int tolerance) =>
        Assert.True(Math.Abs(expected.R - actual.R) <= tolerance && Math.Abs(expected.G - actual.G) <= tolerance && Math.Abs(expected.B - actual.B) <= tolerance,
            $"expected {expected}, got {actual}, tolerance {tolerance}");
}
