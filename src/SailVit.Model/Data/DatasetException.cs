namespace SailVit.Model.Data;

/// <summary>A data source that cannot be used at all; the message names it and what is wrong with it.</summary>
public sealed class DatasetException : Exception
{
    /// <summary>Creates the exception.</summary>
    public DatasetException() { }

    /// <summary>Creates the exception with a message.</summary>
    public DatasetException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public DatasetException(string message, Exception? innerException) : base(message, innerException) { }
}
