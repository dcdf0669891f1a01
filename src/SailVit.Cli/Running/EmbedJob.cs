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
        if (!IsNpy(path) && !path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase))
        {
            throw new ArgumentException($"--output is {path}; it must end in .safetensors or .npy.");
        }
        if (IsNpy(path) && _layers.Keys.Count() > 1)
        {
            throw new ArgumentException($"An .npy file holds one array, and --layers asks for {string.Join(", ", _layers.Keys)}; use .safetensors, or ask for one.");
        }
    }

    /// <summary>Does the work. The file appears when all rows are in it.</summary>
    public void Run(VisionTransformer encoder, string description, string path, CancellationToken cancel)
    {
        using var writer = Create(path, description);
        JobProgress.Run("embed", Rows, report =>
        {
            int first = 0;
            foreach (var rows in _inputs.SelectMany(input => Enumerable.Range(0, input.Rows).Select(row => (input, row))).Chunk(_batchSize))
            {
                cancel.ThrowIfCancellationRequested();
                Encode(encoder, rows, writer, first);
                first += rows.Length;
                report(rows.Length);
            }
        });
        writer.Commit();
    }

    private void Encode(VisionTransformer encoder, (PixelInput Input, int Row)[] rows, ITensorWriter writer, int first)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var pixels = cat([.. rows.Select(row => row.Input.Read(row.Row))]);
        var output = encoder.Encode(pixels.to(_dtype), [.. _layers.Hidden]);
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
        return IsNpy(path)
            ? new NpyWriter(path, ScalarType.Float32, shape)
            : new SafetensorsWriter(path, _layers.Keys.Select(key => (key, _dtype, shape)), new Dictionary<string, string>
            {
                ["files"] = JsonSerializer.Serialize(_inputs.SelectMany(input => Enumerable.Range(0, input.Rows).Select(input.RowName))),
                ["model"] = description,
            });
    }

    private static bool IsNpy(string path) => path.EndsWith(".npy", StringComparison.OrdinalIgnoreCase);
}
