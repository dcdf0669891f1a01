namespace SailVit.Model.Images;

/// <summary>How an image becomes what an encoder takes: square tiles, or one piece near its own size.</summary>
public abstract record ImageSplit
{
    /// <summary>How many tiles an image gives, or how many merged patches where it keeps its own size; from its size alone.</summary>
    /// <param name="width">Of the image, pixels.</param>
    /// <param name="height">Of the image, pixels.</param>
    public abstract int Count(int width, int height);

    /// <summary>The pieces of an image, resized.</summary>
    public abstract IReadOnlyList<RgbImage> Split(RgbImage image);

    /// <summary>The part of each of several images: together they get about what one would.</summary>
    public abstract ImageSplit Share(int images);

    /// <summary>A count in words.</summary>
    internal abstract string Show(int count);
}
