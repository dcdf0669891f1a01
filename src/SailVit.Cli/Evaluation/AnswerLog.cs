using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Evaluation.Vqa;

namespace SailVit.Cli.Evaluation;

/// <summary>Answers as they come, one line each, after a line that says what gave them; a run that was stopped goes on from there.</summary>
internal sealed class AnswerLog : IDisposable
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly FileStream _file;
    private readonly Dictionary<string, string> _answers;

    private AnswerLog(FileStream file, IReadOnlyDictionary<string, string> answers) => (_file, _answers) = (file, answers.ToDictionary());

    public IReadOnlyDictionary<string, string> Answers => _answers;

    /// <summary>Opens the file, or begins it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="run">Everything that decides what the answers are.</param>
    /// <exception cref="ArgumentException">The file is of another run.</exception>
    public static AnswerLog Open(string path, string run)
    {
        Files.CreateFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        // Not shared: two runs into one file would spoil it.
        var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        try
        {
            string header = JsonSerializer.Serialize(new { run }, Readable);
            // Nothing is changed in a file of another run, or of something else altogether.
            if (!BeginsWith(file, header + "\n"))
            {
                throw new ArgumentException($"{path}: holds answers of other weights, questions or options; give another --output, or delete it.");
            }
            DropUnfinishedLine(file);
            if (file.Length == 0)
            {
                Append(file, header);
            }
            file.Position = 0;
            using var text = new StreamReader(file, leaveOpen: true);
            var answers = AnswerFile.Read(text, path, "answer");
            file.Position = file.Length;
            return new(file, answers);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds an answer; it is with the system when this returns.</summary>
    public void Add(string index, string prompt, string answer)
    {
        Append(_file, JsonSerializer.Serialize(new { index, prompt, answer }, Readable));
        _answers[index] = answer;
    }

    public void Dispose() => _file.Dispose();

    // Or with the part of it that a killed process wrote.
    private static bool BeginsWith(FileStream file, string header)
    {
        byte[] begin = new byte[Math.Min(file.Length, Encoding.UTF8.GetByteCount(header))];
        file.ReadExactly(begin);
        return Encoding.UTF8.GetBytes(header).AsSpan().StartsWith(begin);
    }

    private static void Append(FileStream file, string line)
    {
        file.Write(Encoding.UTF8.GetBytes(line + "\n"));
        file.Flush();
    }

    // A process killed while writing leaves half a line.
    private static void DropUnfinishedLine(FileStream file)
    {
        long end = file.Length;
        while (end > 0)
        {
            file.Position = end - 1;
            if (file.ReadByte() == '\n')
            {
                break;
            }
            end--;
        }
        file.SetLength(end);
        file.Position = end;
    }
}
