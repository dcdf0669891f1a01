namespace SailVit.Model.Data;

/// <summary>A sample that cannot be used; the message says which and why. It is skipped and counted.</summary>
public sealed class SampleException : Exception
{
    /// <summary>Creates the exception.</summary>
    public SampleException() { }

    /// <summary>Creates the exception with a message.</summary>
    public SampleException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public SampleException(string message, Exception? innerException) : base(message, innerException) { }

    /// <summary>Creates the exception with its reason.</summary>
    public SampleException(SkipReason reason, string message, Exception? innerException = null) : base(message, innerException) => Reason = reason;

    /// <summary>Under which it is counted.</summary>
    public SkipReason Reason { get; }
}
