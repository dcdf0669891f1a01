using System.CommandLine;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit embed</c>: images or pixels to features.</summary>
internal static class EmbedCommand
{
    public static Command Create()
    {
        var encoder = new EncoderOptions();
        var input = new Option<string[]>("--input")
        {
            Description = "Images, folders of images, or .safetensors files with input.pixel_values (already normalised).",
            HelpName = "FILE",
            Required = true,
            AllowMultipleArgumentsPerToken = true,
            Arity = ArgumentArity.OneOrMore,
        };
        var output = new Option<string>("--output") { Description = "Features: .safetensors with the keys last and hidden.<i>; .parquet with a row per image, its name in the column file and those keys as columns of float lists (their shape is in the metadata); or .npy with one of the keys.", HelpName = "OUT", Required = true };
        var layers = new Option<string>("--layers") { Description = "Which features: block numbers and last, as in 0,3,last.", HelpName = "LIST", DefaultValueFactory = _ => "last" };
        var batch = new Option<int>("--batch-size") { Description = "Images per forward pass.", HelpName = "N", DefaultValueFactory = _ => 1 };

        var command = new Command("embed", "Encode images into features. Ctrl+C keeps what is done, in OUT.partial; the same command goes on from there.") { input, output, layers, batch };
        foreach (var option in encoder.All)
        {
            command.Options.Add(option);
        }
        command.SetAction(result =>
        {
            if (result.GetValue(batch) < 1)
            {
                throw new ArgumentException($"--batch-size is {result.GetValue(batch)}; it must be at least 1.");
            }
            using var backend = encoder.UseBackend(result);
            using var interrupt = new Interrupt();
            var config = encoder.Config(result);
            var wanted = FeatureLayers.Parse(result.GetValue(layers)!, config);
            string path = result.GetValue(output)!;
            var inputs = PixelInput.Open(result.GetValue(input)!, config);
            try
            {
                var job = new EmbedJob(config, wanted, inputs, encoder.DType(result), result.GetValue(batch));
                job.CheckOutput(path);
                Files.CheckOutput(path, [.. inputs.Select(one => one.Path), .. encoder.Sources(result)]);
                using var model = encoder.Encoder(result, out string description);
                var identity = EmbedIdentity.Of(encoder.Sources(result), inputs.Select(one => one.Path), string.Join(',', wanted.Keys), $"{encoder.DType(result)}", $"batch {result.GetValue(batch)}");
                job.Run(model, description, path, new EmbedJournal(path, identity, job.Rows), interrupt.Token);
                Console.WriteLine($"{job.Rows} × {string.Join(", ", wanted.Keys)} → {path} ({description})");
            }
            finally
            {
                inputs.ForEach(one => one.Dispose());
            }
            return 0;
        });
        return command;
    }
}
