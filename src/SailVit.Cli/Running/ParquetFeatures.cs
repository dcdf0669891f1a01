using System.Text.Json;
using Parquet;
using Parquet.Schema;
using SailVit.Model.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>Features as a Parquet table: one row per image, its name in <c>file</c> and a list of float32 per layer, with the
/// shape of a list under <c>shape</c> in the file's metadata.</summary>
/// <remarks>Parquet is written from front to back, so rows are collected in a safetensors file beside, which a later run can
/// go on with, and become the table when all are there.</remarks>
internal sealed class ParquetFeatures : ITensorWriter
{
    // Rows are buffered by the group; readers load a group at once.
    private const long GroupBytes = 32 << 20;

    private readonly string _path;
    private readonly string[] _keys;
    private readonly long[] _shape;
    private readonly IReadOnlyList<string> _files;
    private readonly IReadOnlyDictionary<string, string> _metadata;
    private readonly SafetensorsWriter _rows;

    public ParquetFeatures(string path, IEnumerable<string> keys, ScalarType dtype, long[] shape, IReadOnlyList<string> files, IReadOnlyDictionary<string, string> metadata)
    {
        (_path, _keys, _shape, _files, _metadata) = (path, [.. keys], shape, files, metadata);
        _rows = new SafetensorsWriter(path, _keys.Select(key => (key, dtype, shape)), resume: true);
    }

    public void WriteRows(string name, long firstRow, Tensor rows) => _rows.WriteRows(name, firstRow, rows);

    public void Flush() => _rows.Flush();

    public void Keep() => _rows.Keep();

    public void Commit()
    {
        string partial = AtomicFile.PartialName(_path);
        _rows.Keep();
        _rows.Dispose();
        using (var rows = SafetensorsFile.Open(partial))
        using (var table = new AtomicFile(_path))
        {
            table.Write(stream => WriteTable(rows, stream).GetAwaiter().GetResult());
            table.Commit();
        }
        File.Delete(partial);
    }

    public void Dispose() => _rows.Dispose();

    private async Task WriteTable(SafetensorsFile rows, Stream stream)
    {
        var file = new DataField<string>("file", nullable: false);
        var schema = new ParquetSchema([file, .. _keys.Select(key => new ListField(key, new DataField<float>(ListField.ElementName)))]);
        long width = _shape[1] * _shape[2];
        int group = (int)Math.Clamp(GroupBytes / (width * sizeof(float)), 1, _files.Count);
        // Features are noise to a compressor.
        var writer = await ParquetWriter.CreateAsync(schema, stream, new ParquetOptions { CompressionMethod = CompressionMethod.None });
        await using (writer)
        {
            writer.CustomMetadata = new Dictionary<string, string>(_metadata) { ["shape"] = JsonSerializer.Serialize(_shape[1..]) };
            for (int first = 0; first < _files.Count; first += group)
            {
                int count = Math.Min(group, _files.Count - first);
                using var part = writer.CreateRowGroup();
                await part.WriteAsync(file, [.. _files.Skip(first).Take(count)]);
                foreach (var (key, field) in _keys.Zip(schema.DataFields.Skip(1)))
                {
                    await WriteLists(part, field, Values(rows, key, first, count), count);
                }
            }
        }
    }

    // Levels as the Dremel paper defines them: an item of a list is there (2); the first of a row begins a list (0), the
    // others continue it (1).
    private static async Task WriteLists(ParquetRowGroupWriter part, DataField field, float[] values, int count)
    {
        int[] defined = new int[values.Length], repeated = new int[values.Length];
        Array.Fill(defined, field.MaxDefinitionLevel);
        Array.Fill(repeated, 1);
        for (int row = 0; row < count; row++)
        {
            repeated[row * (values.Length / count)] = 0;
        }
        await part.WriteAllPartsAsync<float>(field, values, defined, repeated, CancellationToken.None);
    }

    private static float[] Values(SafetensorsFile rows, string key, int first, int count)
    {
        using var scope = NewDisposeScope();
        return rows.ReadRows(key, first, count).to(ScalarType.Float32).data<float>().ToArray();
    }
}
