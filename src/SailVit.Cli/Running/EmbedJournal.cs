using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;

namespace SailVit.Cli.Running;

/// <summary>Everything that decides what the features are; only a run with the same may go on with another's rows.</summary>
/// <param name="Program">Build, vector width and backend: another one rounds differently.</param>
/// <param name="Weights">The model, and the files of a checkpoint with size and time.</param>
/// <param name="Inputs">The files in their order, with size and time.</param>
/// <param name="Options">Layers, dtype and batch size.</param>
internal sealed record EmbedIdentity(string Program, string Weights, string Inputs, string Options)
{
    public static EmbedIdentity Of(IEnumerable<string> weights, IEnumerable<string> inputs, params string[] options) => new(
        $"{typeof(VisionTransformer).Module.ModuleVersionId} {typeof(Kernels.functional).Module.ModuleVersionId} {Cpu.Width} {Dispatcher.Choice} {Environment.GetEnvironmentVariable("SAILVIT_LINEAR")}",
        Hash(weights.Select(Stamp)),
        Hash(inputs.Select(Stamp)),
        string.Join(' ', options));

    /// <summary>What is not as it was, for the user; null where everything is.</summary>
    public string? ChangedSince(EmbedIdentity before) =>
        Weights != before.Weights ? "the weights have changed"
        : Inputs != before.Inputs ? "the inputs have changed"
        : Options != before.Options ? $"the options have changed ({before.Options} → {Options})"
        : Program != before.Program ? "another build, vector width or backend runs now"
        : null;

    // A name that is no file, such as that of a random model, stands for itself.
    private static string Stamp(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? string.Create(CultureInfo.InvariantCulture, $"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}") : path;
    }

    public static string Hash(IEnumerable<string> lines) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', lines))))[..32];
}

/// <summary>How many rows an unfinished output holds, in a small file beside it.</summary>
internal sealed class EmbedJournal(string output, EmbedIdentity identity, int rows)
{
    private static readonly TimeSpan Often = TimeSpan.FromSeconds(1);
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly string _path = AtomicFile.PartialName(output) + ".json";
    private long _saved;

    /// <summary>The unfinished output.</summary>
    public string Partial { get; } = AtomicFile.PartialName(output);

    /// <summary>Rows that need not be computed again; where an interrupted run cannot be continued, says why and removes it.</summary>
    public int Resume()
    {
        if (!File.Exists(Partial))
        {
            Delete();
            return 0;
        }
        var entry = Read();
        string? obstacle = entry is null ? "it recorded no row" : entry.Of != rows ? "the inputs have changed" : identity.ChangedSince(entry.Identity);
        if (obstacle is null)
        {
            Console.Error.WriteLine($"embed: goes on after {entry!.Rows} of {rows} rows of an interrupted run");
            return entry.Rows;
        }
        Console.Error.WriteLine($"embed: cannot go on with the interrupted run in {Partial} ({obstacle}); starts over");
        // Fails where another process is just writing it.
        using (new FileStream(Partial, FileMode.Open, FileAccess.Write, FileShare.None)) { }
        Delete();
        File.Delete(Partial);
        return 0;
    }

    /// <summary>Records rows that are on the disk, about once a second.</summary>
    /// <param name="done">Rows from the first.</param>
    /// <param name="flush">Brings them to the disk.</param>
    public void Advance(int done, Action flush)
    {
        if (_saved == 0 || TimeProvider.System.GetElapsedTime(_saved) >= Often)
        {
            flush();
            Save(done);
        }
    }

    /// <summary>Records rows that are on the disk.</summary>
    public void Save(int done)
    {
        Files.WriteAtomically(_path, stream => JsonSerializer.Serialize(stream, new Entry(done, rows, identity), Indented));
        _saved = TimeProvider.System.GetTimestamp();
    }

    /// <summary>Forgets the run.</summary>
    public void Delete()
    {
        if (File.Exists(_path))
        {
            File.Delete(_path);
        }
    }

    private Entry? Read()
    {
        try
        {
            return JsonSerializer.Deserialize<Entry>(File.ReadAllText(_path)) is { Rows: > 0, Identity: not null } entry && entry.Rows <= entry.Of ? entry : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private sealed record Entry(int Rows, int Of, EmbedIdentity Identity);
}
