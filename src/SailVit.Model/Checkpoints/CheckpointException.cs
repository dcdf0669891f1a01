namespace SailVit.Model.Checkpoints;

/// <summary>A checkpoint, tensor file or config that cannot be used; the message names the file and what is wrong with it.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Creates the exception.</summary>
    public CheckpointException() { }

    /// <summary>Creates the exception with a message.</summary>
    public CheckpointException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public CheckpointException(string message, Exception? innerException) : base(message, innerException) { }
}
