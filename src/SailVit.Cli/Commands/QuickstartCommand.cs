using System.CommandLine;
using System.Text.Json;
using SailVit.Bench.Stock;
using SailVit.Cli.Quickstart;
using SailVit.Cli.Running;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SkiaSharp;
using Spectre.Console;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit quickstart</c>: encodes photographs with stock TorchSharp ops and with the library's kernels, compares
/// time, result and memory, and draws what the encoder sees.</summary>
internal static class QuickstartCommand
{
    private static readonly Option<string?> Images = new("--images") { Description = "Folder of images instead of the photographs that come along.", HelpName = "DIR" };

    private static readonly Option<DirectoryInfo> Output = new("--output")
    {
        Description = "Folder for features.safetensors and features.png.",
        HelpName = "DIR",
        DefaultValueFactory = _ => new DirectoryInfo("quickstart"),
    };

    private static readonly Option<int> Rounds = new("--rounds") { Description = "How often each side encodes each photograph.", HelpName = "N", DefaultValueFactory = _ => 1 };

    public static Command Create()
    {
        var encoder = new EncoderOptions();
        var command = new Command("quickstart", "Encode photographs with stock TorchSharp and with SailVit, and compare.") { Images, Output, Rounds };
        foreach (var option in encoder.All)
        {
            command.Options.Add(option);
        }
        command.SetAction(result =>
        {
            int rounds = result.GetValue(Rounds);
            if (rounds < 1)
            {
                throw new ArgumentException($"--rounds is {rounds}; it must be at least 1.");
            }
            using var backend = encoder.UseBackend(result);
            Run(encoder, result, rounds);
        });
        return command;
    }

    private static void Run(EncoderOptions options, ParseResult result, int rounds)
    {
        using var scope = NewDisposeScope();
        var config = options.Config(result);
        var dtype = options.DType(result);
        var inputs = PixelInput.Open([result.GetValue(Images) ?? Path.Combine(AppContext.BaseDirectory, "images")], config);
        var photos = inputs.Select(input => input.Read(0).to(dtype)).ToList();
        // An output that cannot be is better known now than after the minute of encoding.
        Files.CreateFolder(result.GetValue(Output)!.FullName);
        Console.WriteLine($"{config.ParameterCount / 1e6:0.#} M parameters, {config.ImageHeight} × {config.ImageWidth} px, {dtype.ToString().ToLowerInvariant()}; {photos.Count} photograph{(photos.Count == 1 ? "" : "s")}; {get_num_threads()} threads, {Cpu.Width} vectors");

        Console.Error.WriteLine("building both models and warming up …");
        string description = "";
        VisionTransformer? fused = null;
        var ours = Comparison.Build("SailVit", () => (fused = options.Encoder(result, out description)).call, photos[0]);
        var stock = Comparison.Build("stock TorchSharp", () => Stock(config, fused!, dtype).call, photos[0]);
        JobProgress.Run("encoding", 2 * rounds * photos.Count, done => Comparison.Run([stock, ours], photos, rounds, done));

        Console.WriteLine(description);
        Report(ours, stock);
        Save(result.GetValue(Output)!, config, [.. inputs.Select(i => i.Path)], ours, stock, description);
    }

    private static StockVisionTransformer Stock(EncoderConfig config, VisionTransformer weights, ScalarType dtype)
    {
        var model = new StockVisionTransformer(config);
        model.to(dtype);
        model.eval();
        model.load_state_dict(weights.state_dict());
        return model;
    }

    private static void Report(Contender ours, Contender stock)
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn("");
        table.AddColumn(new TableColumn("ms per photograph").RightAligned());
        table.AddColumn(new TableColumn("speed-up").RightAligned());
        table.AddColumn(new TableColumn("relative error").RightAligned());
        table.AddColumn(new TableColumn("peak memory").RightAligned());
        table.AddRow("stock TorchSharp", $"{stock.Milliseconds:N0}", "1.00 ×", "", Megabytes(stock));
        table.AddRow("SailVit", $"{ours.Milliseconds:N0}", $"{stock.Milliseconds / ours.Milliseconds:F2} ×", $"{Comparison.RelativeError(ours, stock):E1}", Megabytes(ours));
        Screen.Write(table);
        Console.WriteLine("Medians, both sides in turn in one process. Error: ‖a − b‖ / ‖b‖ against stock. Memory: weights, packed weights and activations.");
    }

    private static string Megabytes(Contender contender) => $"{contender.PeakBytes / 1e6:N0} MB";

    private static void Save(DirectoryInfo output, EncoderConfig config, IReadOnlyList<string> paths, Contender ours, Contender stock, string description)
    {
        var features = Path.Combine(output.FullName, "features.safetensors");
        SafetensorsWriter.Write(features, new Dictionary<string, Tensor> { [FeatureLayers.LastKey] = cat([.. ours.Features], dim: 0) },
            new Dictionary<string, string> { ["files"] = JsonSerializer.Serialize(paths.Select(Path.GetFileName)), ["model"] = description });

        int extra = config.ClassToken ? 1 : 0;
        var colors = FeatureColors.Compute([.. ours.Features.Select(f => f[0].narrow(0, extra, config.GridHeight * config.GridWidth))]);
        var panels = paths.Zip(colors, (path, c) => new FeaturePanel(Path.GetFileName(path), path, config.GridHeight, config.GridWidth, c.data<byte>().ToArray())).ToList();
        var picture = Path.Combine(output.FullName, "features.png");
        FeaturePicture.Save(picture, panels,
            [new("stock TorchSharp", stock.Milliseconds, new SKColor(0x9a, 0xa5, 0xb1)), new("SailVit", ours.Milliseconds, new SKColor(0x1f, 0x77, 0xb4))],
            "One photograph, forward pass: median time (lower is better)");
        Console.WriteLine($"Features: {features}");
        Console.WriteLine($"Picture:  {picture}");
    }
}
