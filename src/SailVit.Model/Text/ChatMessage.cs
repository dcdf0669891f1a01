namespace SailVit.Model.Text;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role"><see cref="System"/>, <see cref="User"/> or <see cref="Assistant"/>.</param>
/// <param name="Content">Its text; <see cref="ImagePlace"/> marks the place of an image.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>Marks the place of an image in a text.</summary>
    public const string ImagePlace = "<image>";

    /// <summary>The role that sets the scene.</summary>
    public const string System = "system";

    /// <summary>The role that asks.</summary>
    public const string User = "user";

    /// <summary>The role that answers, and whose words are learned.</summary>
    public const string Assistant = "assistant";
}
