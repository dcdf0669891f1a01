namespace SailVit.Model.Data;

/// <summary>Why a sample is not used.</summary>
public enum SkipReason
{
    /// <summary>A line or record that cannot be read: no JSON, a key missing or of the wrong kind. A Parquet file without the needed columns.</summary>
    Malformed,

    /// <summary>A conversation in which nobody answers, or out of turn.</summary>
    NoAnswer,

    /// <summary>Images and places for them differ in number.</summary>
    ImageCount,

    /// <summary>An image file that is not there, or lies outside the image folder.</summary>
    MissingImage,

    /// <summary>An image that cannot be decoded.</summary>
    BrokenImage,

    /// <summary>A sample of more tokens or tiles than fit a batch.</summary>
    TooLong,

    /// <summary>An archive that ends in the middle. A Parquet file whose footer is damaged.</summary>
    CutShort,
}
