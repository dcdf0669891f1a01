using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using SailVit.Model.Multimodal;
using Spectre.Console;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit verify</c>: outputs and gradients against those of another framework.</summary>
internal static class VerifyCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Create()
    {
        var encoder = new EncoderOptions();
        var expected = new Option<string>("--expected") { Description = "Tensors of the other framework: input.pixel_values; output.last, output.hidden.<i>, output.selected; input.grad_output and grad.<name>. Of a multimodal model: input.ids, input.labels; output.connector, .logits, .loss, .generated; grad.<name>.", HelpName = "FILE", Required = true };
        var tolerance = new Option<double>("--tolerance") { Description = "Largest relative error ‖a − b‖ / ‖b‖ of a tensor.", HelpName = "NUMBER", DefaultValueFactory = _ => 1e-4 };
        var json = JsonOption.Create("Write the errors to this file.");

        var command = new Command("verify", "Compare outputs and gradients with expected ones; exit code 1 above the tolerance.") { expected, tolerance, json };
        foreach (var option in encoder.WithWeights)
        {
            command.Options.Add(option);
        }
        command.SetAction(result =>
        {
            double limit = result.GetValue(tolerance);
            if (!(limit >= 0 && double.IsFinite(limit)))
            {
                throw new ArgumentException($"--tolerance is {limit}; it must be a number from 0.");
            }
            using var backend = encoder.UseBackend(result);
            using var file = SafetensorsFile.Open(result.GetValue(expected)!);
            var (report, description) = Verify(encoder, result, file, limit);
            Show(report, description);
            if (result.GetValue(json) is { } path)
            {
                Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, new { Weights = description, Expected = file.Path, report.Tolerance, report.Passed, report.Tensors, report.Skipped }, Indented));
            }
            return report.Passed ? 0 : 1;
        });
        return command;
    }

    private static (VerificationReport Report, string Description) Verify(EncoderOptions options, ParseResult result, SafetensorsFile file, double limit)
    {
        if (file.Tensors.ContainsKey(MultimodalVerification.IdsKey) && options.MultimodalFolder(result) is { } folder)
        {
            using var whole = MultimodalModel.Load(folder, options.DType(result));
            return (MultimodalVerification.Run(whole, options.DType(result), file, limit), folder);
        }
        using var encoder = options.Encoder(result, out string description);
        return (Verification.Run(encoder, options.SelectLayer(result), options.DType(result), file, limit), description);
    }

    private static void Show(VerificationReport report, string weights)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("tensor", "shape");
        table.AddColumn(new TableColumn("relative error").RightAligned());
        table.AddColumn("");
        foreach (var row in report.Tensors)
        {
            string error = row.RelativeError is { } value ? value.ToString("0.00e+00", CultureInfo.InvariantCulture) : "not finite";
            table.AddRow(Markup.Escape(row.Name), Markup.Escape($"[{string.Join(", ", row.Shape)}]"), error, row.Passed ? "[green]ok[/]" : Markup.Escape(row.Problem ?? "above the tolerance"));
        }
        Screen.Write(table);
        if (report.Skipped.Count > 0)
        {
            Console.WriteLine($"not compared, since the model does not give them: {string.Join(", ", report.Skipped)}");
        }
        int failed = report.Tensors.Count(row => !row.Passed);
        Console.WriteLine($"{weights}: {report.Tensors.Count - failed} of {report.Tensors.Count} tensors within {report.Tolerance.ToString("0.0e+00", CultureInfo.InvariantCulture)}{(failed == 0 ? "." : $"; {failed} failed.")}");
    }
}
