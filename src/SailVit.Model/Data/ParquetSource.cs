using System.Collections;
using System.Text;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Parquet files with image bytes, in the columns that Hugging Face's datasets use.</summary>
/// <remarks>
/// Images: <c>image</c> or <c>images</c>, as bytes or as {bytes, path}. Words: <c>conversations</c> (a list of {from, value}, or JSON text),
/// or <c>caption</c>, <c>text</c>, or <c>question</c> with <c>answer</c>. Held in memory: a few row groups.
/// </remarks>
public sealed class ParquetSource : ISampleSource
{
    private readonly ParquetRows _rows;
    private readonly string _prompt;

    /// <summary>Opens files and reads their footers.</summary>
    /// <param name="name">Names the source in messages.</param>
    /// <param name="paths">The files.</param>
    /// <param name="prompt">Asked of images that come with a caption alone.</param>
    /// <exception cref="DatasetException">No file can be read, or none holds a row.</exception>
    public ParquetSource(string name, IReadOnlyList<string> paths, string prompt = SampleSources.DefaultPrompt)
    {
        ArgumentNullException.ThrowIfNull(paths);
        Name = name;
        _prompt = prompt;
        _rows = new(name, paths, "conversations", "messages", "caption", "text", "question");
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public long Count => _rows.Count;

    /// <inheritdoc/>
    public IReadOnlyList<long> Groups => _rows.Groups;

    /// <inheritdoc/>
    public IReadOnlyList<Skip> Damage => _rows.Damage;

    /// <inheritdoc/>
    public ConversationSample Read(long index)
    {
        var (row, id) = _rows.Read(index);
        return Sample(row, id);
    }

    /// <inheritdoc/>
    public void Dispose() { }

    private ConversationSample Sample(Dictionary<string, object> row, string id)
    {
        var images = ParquetRows.Images(row, id);
        object? turns = row.GetValueOrDefault("conversations") ?? row.GetValueOrDefault("messages");
        var messages = turns switch
        {
            null => null,
            string json => ConversationReader.Parse(Encoding.UTF8.GetBytes($$"""{"conversations": {{json}}}"""), id, root => ConversationReader.Messages(root, id)),
            IEnumerable list => Turns(list, id),
            _ => throw ConversationReader.Malformed(id, "conversations are neither a list nor text"),
        };
        return ConversationReader.Checked(id, messages ?? Caption(row, images.Count, id), images);
    }

    private IReadOnlyList<ChatMessage> Caption(Dictionary<string, object> row, int images, string id)
    {
        var words = row.Where(column => column.Value is string).ToDictionary(column => column.Key, column => (string)column.Value);
        return ConversationReader.Parse(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(words), id, root => Captions.From(root, _prompt, images, id));
    }

    private static List<ChatMessage> Turns(IEnumerable list, string id)
    {
        var messages = new List<ChatMessage>();
        foreach (object? turn in list)
        {
            if (turn is not IDictionary<string, object> fields || Text(fields, "from", "role") is not { } role || Text(fields, "value", "content") is not { } content)
            {
                throw ConversationReader.Malformed(id, "a turn has no from and value");
            }
            messages.Add(new ChatMessage(ConversationReader.Role(role, id), content));
        }
        return messages;

        static string? Text(IDictionary<string, object> fields, string key, string other) => (fields.TryGetValue(key, out object? value) || fields.TryGetValue(other, out value)) ? value as string : null;
    }
}
