namespace SailVit.Model.Images;

/// <summary>An image is encoded near its own size: both sides whole merged patches.</summary>
/// <param name="Unit">Edge of a merged patch, pixels.</param>
/// <param name="MaxPixels">Most pixels of an image: patches times pixels of a patch.</param>
public sealed record AnyResSize(int Unit, long MaxPixels) : ImageSplit
{
    /// <summary>How many merged patches an image gives.</summary>
    public override int Count(int width, int height)
    {
        var (h, w) = Fit(width, height, Unit, MaxPixels);
        return h / Unit * (w / Unit);
    }

    /// <summary>The image alone, resized.</summary>
    public override IReadOnlyList<RgbImage> Split(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        var (h, w) = Fit(image.Width, image.Height, Unit, MaxPixels);
        return [BicubicResize.Resize(image, w, h)];
    }

    /// <inheritdoc/>
    public override ImageSplit Share(int images) => this with { MaxPixels = Math.Max(MaxPixels / Math.Max(images, 1), (long)Unit * Unit) };

    internal override string Show(int count) => $"{count:N0} merged patches";

    /// <summary>Sides rounded to multiples of <paramref name="unit"/>, at least one; an image of more patches than allowed is scaled
    /// down, its aspect ratio kept as well as multiples allow.</summary>
    /// <param name="width">Of the image, pixels.</param>
    /// <param name="height">Of the image, pixels.</param>
    /// <param name="unit">Edge of a merged patch, pixels.</param>
    /// <param name="maxPixels">Most pixels: patches times pixels of a patch.</param>
    public static (int Height, int Width) Fit(int width, int height, int unit, long maxPixels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(unit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxPixels, (long)unit * unit);
        int Round(double side) => (int)Math.Max(1, Math.Round(side / unit, MidpointRounding.AwayFromZero)) * unit;
        var (h, w) = (Round(height), Round(width));
        if ((long)h * w <= maxPixels)
        {
            return (h, w);
        }
        double scale = Math.Sqrt(maxPixels / ((double)height * width));
        // A thin image keeps one patch across; its length takes the rest.
        int Floor(double side) => (int)Math.Max(1, Math.Floor(side / unit)) * unit;
        (h, w) = (Floor(height * scale), Floor(width * scale));
        return ((int)Math.Min(h, maxPixels / w / unit * unit), (int)Math.Min(w, maxPixels / h / unit * unit));
    }
}
