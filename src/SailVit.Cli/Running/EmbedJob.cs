using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>Encodes all rows of all inputs and streams the features into one file.</summary>
internal sealed class EmbedJob
{
    private readonly EncoderConfig _config;
    private readonly FeatureLayers _layers;
    private readonly IReadOnlyList<PixelInput> _inputs;
    private readonly ScalarType _dtype;
    private readonly int _batchSize;

    public EmbedJob(EncoderConfig config, FeatureLayers layers, IReadOnlyList<PixelInput> inputs, ScalarType dtype, int batchSize)
    {
        (_config, _layers, _inputs, _dtype, _batchSize) = (config, layers, inputs, dtype, batchSize);
        var other = inputs.FirstOrDefault(input => (input.Height, input.Width) != (inputs[0].Height, inputs[0].Width));
        if (other is not null)
        {
            throw new ArgumentException($"{inputs[0].Path} gives {inputs[0].Height} × {inputs[0].Width} px and {other.Path} {other.Height} × {other.Width}; rows of one output must have the same number of tokens. Encode them separately.");
        }
    }

    public int Rows => _inputs.Sum(input => input.Rows);

    /// <summary>Refuses an output that cannot hold the features, before any work is done.</summary>
    public void CheckOutput(string path)
    {
        string[] formats = [".safetensors", ".parquet", ".npy"];
        if (!formats.Any(format => Is(path, format)))
        {
            throw new ArgumentException($"--output is {path}; it must end in {string.Join(", ", formats[..^1])} or {formats[^1]}.");
        }
        if (Is(path, ".npy") && _layers.Keys.Count() > 1)
        {
            throw new ArgumentException($"An .npy file holds one array, and --layers asks for {string.Join(", ", _layers.Keys)}; use .safetensors or .parquet, or ask for one.");
        }
    }

    /// <summary>Does the work, from where an interrupted run left it. The file appears when all rows are in it.</summary>
    public void Run(VisionTransformer encoder, string description, string path, EmbedJournal journal, CancellationToken cancel)
    {
        int start = journal.Resume();
        using var writer = Create(path, description);
        try
        {
            JobProgress.Run("embed", Rows, report => Encode(encoder, writer, journal, start, report, cancel), start);
            writer.Keep();
            journal.Save(Rows);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            journal.Delete();
            throw;
        }
        // From here on a failure, such as a full disk, leaves the rows: the same command writes the file without computing them.
        writer.Commit();
        journal.Delete();
    }

    private void Encode(VisionTransformer encoder, ITensorWriter writer, EmbedJournal journal, int start, Action<int> report, CancellationToken cancel)
    {
        int done = start;
        foreach (var rows in _inputs.SelectMany(input => Enumerable.Range(0, input.Rows).Select(row => (input, row))).Skip(start).Chunk(_batchSize))
        {
            if (cancel.IsCancellationRequested)
            {
                throw Interrupted(writer, journal, done);
            }
            Encode(encoder, rows, writer, done);
            done += rows.Length;
            journal.Advance(done, writer.Flush);
            report(rows.Length);
        }
    }

    private OperationCanceledException Interrupted(ITensorWriter writer, EmbedJournal journal, int done)
    {
        if (done == 0)
        {
            return new OperationCanceledException("interrupted; nothing was written.");
        }
        writer.Keep();
        journal.Save(done);
        return new OperationCanceledException($"interrupted; {done} of {Rows} rows are kept in {journal.Partial}, and the same command goes on from there.");
    }

    private void Encode(VisionTransformer encoder, (PixelInput Input, int Row)[] rows, ITensorWriter writer, int first)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var pixels = cat([.. rows.Select(row => row.Input.Read(row.Row))]);
        var output = encoder.Encode(pixels.to(_dtype), [.. _layers.Hidden]);
        if (!output.Last.isfinite().all().item<bool>())
        {
            throw new ArgumentException($"{string.Join(", ", rows.Select(row => row.Input.RowName(row.Row)))}: the features hold NaN or infinite values; the weights are damaged, or --dtype {_dtype.ToString().ToLowerInvariant()} is too narrow for them.");
        }
        // NumPy has no bfloat16.
        var dtype = writer is NpyWriter ? ScalarType.Float32 : _dtype;
        if (_layers.Last)
        {
            writer.WriteRows(FeatureLayers.LastKey, first, output.Last.to(dtype));
        }
        foreach (int layer in _layers.Hidden)
        {
            writer.WriteRows(FeatureLayers.HiddenKey(layer), first, output.Hidden[layer].to(dtype));
        }
    }

    private ITensorWriter Create(string path, string description)
    {
        int patches = _inputs[0].Height / _config.PatchSize * (_inputs[0].Width / _config.PatchSize);
        long[] shape = [Rows, patches + (_config.ClassToken ? 1 : 0), _config.HiddenSize];
        if (Is(path, ".npy"))
        {
            return new NpyWriter(path, ScalarType.Float32, shape, resume: true);
        }
        List<string> files = [.. _inputs.SelectMany(input => Enumerable.Range(0, input.Rows).Select(input.RowName))];
        var metadata = new Dictionary<string, string> { ["model"] = description };
        if (Is(path, ".parquet"))
        {
            return new ParquetFeatures(path, _layers.Keys, _dtype, shape, files, metadata);
        }
        metadata.Add("files", JsonSerializer.Serialize(files));
        return new SafetensorsWriter(path, _layers.Keys.Select(key => (key, _dtype, shape)), metadata, resume: true);
    }

    private static bool Is(string path, string format) => path.EndsWith(format, StringComparison.OrdinalIgnoreCase);
}
