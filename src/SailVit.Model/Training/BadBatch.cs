using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Keeps a batch of a step that was skipped, for whoever looks for the cause.</summary>
internal static class BadBatch
{
    public static void Save(string folder, string name, PackedBatch batch)
    {
        Directory.CreateDirectory(folder);
        var tensors = new Dictionary<string, Tensor> { ["ids"] = batch.Ids, ["labels"] = batch.Labels, ["weights"] = batch.Weights, ["positions"] = batch.Layout.Positions };
        if (batch.Pixels is { } pixels)
        {
            tensors["pixels"] = pixels;
        }
        foreach (var (image, i) in batch.Images.Select((image, i) => (image, i)))
        {
            tensors[$"image.{i}"] = image;
        }
        SafetensorsWriter.Write(Path.Combine(folder, name + ".safetensors"), tensors, new Dictionary<string, string>
        {
            ["samples"] = string.Join('\n', batch.SampleIds),
            ["cu_seqlens"] = string.Join(',', batch.Layout.CuSeqlens),
        });
    }
}
