using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using Spectre.Console;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit info</c>: what a checkpoint, a config or a tensor file holds.</summary>
internal static class InfoCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static Command Create()
    {
        var what = new Argument<string>("what") { Description = "A checkpoint folder, config.json, .safetensors file, its index, or the name of a model." };
        var tensors = new Option<bool>("--tensors") { Description = "List every tensor." };
        var json = JsonOption.Create("Write the same to this file.");
        var command = new Command("info", "Show architecture, parameters, FLOPs and memory.") { what, tensors, json };
        command.SetAction(result =>
        {
            using var description = ModelDescription.Of(result.GetValue(what)!);
            var table = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
            foreach (var (name, value) in description.Facts())
            {
                table.AddRow(Markup.Escape(name), Markup.Escape(value));
            }
            Screen.Write(table);
            if (result.GetValue(tensors))
            {
                List(description.Checkpoint ?? throw new ArgumentException($"{result.GetValue(what)}: has no tensors to list; it is a config or the name of a model."));
            }
            if (result.GetValue(json) is { } path)
            {
                Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, description.Values(), Indented));
            }
            return 0;
        });
        return command;
    }

    private static void List(Checkpoint checkpoint)
    {
        foreach (string name in checkpoint.Names)
        {
            var entry = checkpoint.Entry(name);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{entry.DType}\t[{string.Join(", ", entry.Shape)}]\t{name}"));
        }
    }
}
