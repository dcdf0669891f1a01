namespace SailVit.Model.Text;

/// <summary>A token that is recognised by its string before the text is split, as <c>tokenizer.json</c> describes it.</summary>
internal sealed record AddedToken(int Id, string Content, bool Special = true)
{
    /// <summary>Takes the white space before it with it.</summary>
    public bool TakesLeft { get; init; }

    /// <summary>Takes the white space behind it with it.</summary>
    public bool TakesRight { get; init; }

    /// <summary>Only where no letter or digit touches it.</summary>
    public bool SingleWord { get; init; }
}
