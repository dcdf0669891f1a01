namespace SailVit.Model.Images;

/// <summary>A file that is no usable image; the message names the file and what is wrong with it.</summary>
public sealed class ImageException : Exception
{
    /// <summary>Creates the exception.</summary>
    public ImageException() { }

    /// <summary>Creates the exception with a message.</summary>
    public ImageException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public ImageException(string message, Exception? innerException) : base(message, innerException) { }
}
