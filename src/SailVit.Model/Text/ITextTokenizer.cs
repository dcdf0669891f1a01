namespace SailVit.Model.Text;

/// <summary>Text to token ids and back, as the checkpoint was trained with.</summary>
/// <remarks>Thread-safe.</remarks>
public interface ITextTokenizer
{
    /// <summary>One above the highest id.</summary>
    int VocabSize { get; }

    /// <summary>The id that ends a generated text.</summary>
    int EosId { get; }

    /// <summary>The ids of a text; added tokens such as <c>&lt;|im_end|&gt;</c> are recognised by their strings, nothing is put before or behind.</summary>
    IReadOnlyList<int> Encode(string text);

    /// <summary>The text of ids; bytes that are no UTF-8 become U+FFFD.</summary>
    /// <param name="ids">Token ids; those that the vocabulary lacks give nothing.</param>
    /// <param name="skipSpecial">Leaves special tokens out.</param>
    string Decode(IEnumerable<int> ids, bool skipSpecial = true);

    /// <summary>The id of one token by its string, or null.</summary>
    int? TokenId(string token);
}
