using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace SailVit.Cli.Running;

/// <summary>Questions from a JSONL file, answers to another, a line each; a run that was stopped goes on behind the last whole line.</summary>
/// <remarks><c>{"id": …, "image": "a.jpg" | ["a.jpg", …], "question": "…"}</c>; images lie beside the file.</remarks>
internal sealed class ChatBatch(string input, string output)
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static ReadOnlySpan<byte> RowBegin => "{\"line\":"u8;

    /// <summary>Answers what is not answered yet; returns how many lines could not be.</summary>
    /// <param name="answer">Answers a question about files.</param>
    /// <param name="cancel">Stops between two lines; what is done stays.</param>
    public int Run(Func<string, IReadOnlyList<string>, string> answer, CancellationToken cancel)
    {
        var lines = File.ReadLines(input).Where(line => !string.IsNullOrWhiteSpace(line));
        int total = lines.Count(), failed = 0;
        using var stream = new FileStream(output, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        int done = Resume(stream, lines, ref failed);
        JobProgress.Run("answers", total - done, report =>
        {
            foreach (var (line, number) in lines.Select((line, i) => (line, i + 1)).Skip(done))
            {
                cancel.ThrowIfCancellationRequested();
                failed += Write(stream, line, number, answer) ? 0 : 1;
                report(1);
            }
        });
        return failed;
    }

    // The output must begin with answers to the same questions; a line that was not finished is cut off.
    private int Resume(FileStream stream, IEnumerable<string> lines, ref int failed)
    {
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        int whole = content.AsSpan().LastIndexOf((byte)'\n') + 1, done = 0;
        // A row that was not finished; anything else is not this command's to cut off.
        if (!RowBegin.StartsWith(content.AsSpan(whole)) && !content.AsSpan(whole).StartsWith(RowBegin))
        {
            throw new ArgumentException($"{output}: is no file of answers. Give another --output, or remove the file to begin anew.");
        }
        var questions = lines.GetEnumerator();
        foreach (string old in Encoding.UTF8.GetString(content, 0, whole).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string? hash = null;
            try
            {
                using var json = JsonDocument.Parse(old);
                hash = json.RootElement.GetProperty("input").GetString();
                failed += json.RootElement.TryGetProperty("error", out _) ? 1 : 0;
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
            {
                // Not written by this command.
            }
            if (!questions.MoveNext() || hash != Fingerprint(questions.Current))
            {
                throw new ArgumentException($"{output}: line {done + 1} is no answer to line {done + 1} of {input}. Give another --output, or remove the file to begin anew.");
            }
            done++;
        }
        stream.SetLength(whole);
        stream.Seek(whole, SeekOrigin.Begin);
        return done;
    }

    private bool Write(FileStream stream, string line, int number, Func<string, IReadOnlyList<string>, string> answer)
    {
        var row = new Dictionary<string, object?> { ["line"] = number, ["input"] = Fingerprint(line) };
        try
        {
            var (id, question, images) = Read(line);
            row["id"] = id;
            row["question"] = question;
            row["answer"] = answer(question, images);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException or Model.Images.ImageException)
        {
            row["error"] = e.Message.ReplaceLineEndings(" ");
        }
        stream.Write(JsonSerializer.SerializeToUtf8Bytes(row, Plain));
        stream.Write("\n"u8);
        stream.Flush();
        return !row.ContainsKey("error");
    }

    private (string? Id, string Question, IReadOnlyList<string> Images) Read(string line)
    {
        using var json = JsonDocument.Parse(line);
        var root = json.RootElement;
        string question = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("question", out var text) && text.ValueKind == JsonValueKind.String && !string.IsNullOrWhiteSpace(text.GetString()) ? text.GetString()!
            : throw new ArgumentException("the line is no object with a question.");
        IEnumerable<JsonElement> names = !root.TryGetProperty("image", out var image) || image.ValueKind == JsonValueKind.Null ? [] : image.ValueKind == JsonValueKind.Array ? image.EnumerateArray() : [image];
        string folder = Path.GetDirectoryName(Path.GetFullPath(input))!;
        return (root.TryGetProperty("id", out var id) ? id.ToString() : null, question, [.. names.Select(name => Path.Combine(folder, name.ValueKind == JsonValueKind.String ? name.GetString()! : throw new ArgumentException("image must be a file name or a list of them.")))]);
    }

    private static string Fingerprint(string line) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(line.Trim())))[..16];
}
