namespace SailVit.Model.Refinement;

/// <summary>A recipe that cannot be followed; the message names file and line, what is there, and what may be.</summary>
public sealed class RecipeException : Exception
{
    /// <summary>Creates the exception.</summary>
    public RecipeException() { }

    /// <summary>Creates the exception with a message.</summary>
    public RecipeException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public RecipeException(string message, Exception? innerException) : base(message, innerException) { }
}
