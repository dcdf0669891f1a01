namespace SailVit.Model.Training;

/// <summary>Training cannot go on; the message says why and what to do.</summary>
public sealed class TrainingException : Exception
{
    /// <summary>Without a message.</summary>
    public TrainingException() { }

    /// <summary>With a message.</summary>
    public TrainingException(string message) : base(message) { }

    /// <summary>With a message and a cause.</summary>
    public TrainingException(string message, Exception? innerException) : base(message, innerException) { }
}
