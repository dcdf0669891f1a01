using SailVit.Model.Checkpoints;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>The embedding table of a language model.</summary>
public static class WordVectors
{
    /// <summary>Names of the table: alone, inside a SAIL-VL or InternVL model, and InternLM's.</summary>
    public static readonly IReadOnlyList<string> Names =
    [
        "model.embed_tokens.weight", "language_model.model.embed_tokens.weight", "model.language_model.embed_tokens.weight",
        "model.tok_embeddings.weight", "language_model.model.tok_embeddings.weight",
    ];

    /// <summary>Reads the table alone, whatever else the checkpoint holds.</summary>
    /// <param name="path">Checkpoint folder, file or index.</param>
    /// <returns>[V, C], of the checkpoint's dtype.</returns>
    /// <exception cref="CheckpointException">There is no checkpoint, or no table in it.</exception>
    public static Tensor Read(string path)
    {
        using var checkpoint = Checkpoint.Open(path);
        string name = Names.FirstOrDefault(checkpoint.Names.Contains)
            ?? throw new CheckpointException($"{path}: holds no embedding table of a language model; it would be called {string.Join(", ", Names)}.");
        return checkpoint.Entry(name).Shape.Length == 2 ? checkpoint.Read(name)
            : throw new CheckpointException($"{path}: {name} is [{string.Join(", ", checkpoint.Entry(name).Shape)}]; an embedding table is [vocabulary, channels].");
    }
}
