using SailVit.Model.Images;

namespace SailVit.Model.Data;

/// <summary>A sample as tokens, its images still encoded.</summary>
internal sealed record EncodedSample(Draw Draw, string Id, int[] Ids, bool[] Trained, IReadOnlyList<(EncodedImage Image, ImageSplit Split)> Images, int Tiles)
{
    /// <summary>Tokens.</summary>
    public int Length => Ids.Length;
}
