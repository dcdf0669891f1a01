namespace SailVit.Model.Text;

/// <summary>Turns tokens into text as they come, holding back bytes of a character that is not complete.</summary>
/// <param name="tokenizer">Whose tokens they are.</param>
public sealed class IncrementalDecoder(ITextTokenizer tokenizer)
{
    // A character of UTF-8 has at most four bytes, each perhaps a token; more were never going to become one.
    private const int MostHeld = 4;

    private readonly List<int> _held = [];

    /// <summary>The text that a token completes; empty while a character is incomplete.</summary>
    public string Push(int id)
    {
        _held.Add(id);
        string text = tokenizer.Decode(_held);
        return text.EndsWith('\uFFFD') && _held.Count < MostHeld ? "" : Flush();
    }

    /// <summary>What is still held back.</summary>
    public string Flush()
    {
        string text = tokenizer.Decode(_held);
        _held.Clear();
        return text;
    }
}
