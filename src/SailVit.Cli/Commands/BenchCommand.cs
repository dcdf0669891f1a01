using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using SailVit.Bench;
using SailVit.Bench.Data;
using SailVit.Bench.Measuring;
using SailVit.Bench.Models;
using SailVit.Bench.Reporting;
using SailVit.Cli.Running;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using Spectre.Console;
using static TorchSharp.torch;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit bench ops|model|training|generate|data</c>: ours against stock TorchSharp, in one process, strictly in turn.</summary>
internal static class BenchCommand
{
    private static readonly Option<string?> Filter = new("--filter")
    {
        Description = "Words that must occur in op, shape, dtype, direction or baseline; * and ? are wildcards: --filter \"linear* forward\", --filter onnx.",
        HelpName = "WORDS",
    };

    private static readonly Option<ScalarType?> DType = new("--dtype")
    {
        Description = "Only float32, bfloat16 or float16.",
        HelpName = "DTYPE",
        CustomParser = result =>
        {
            try
            {
                return Names.DType(result.Tokens[0].Value);
            }
            catch (ArgumentException e)
            {
                result.AddError(e.Message);
                return null;
            }
        },
    };

    private static readonly Option<bool> Quick = new("--quick") { Description = "Fewer samples: a look, not a record." };

    private static readonly Option<FileInfo?> JsonFile = new("--json")
    {
        Description = "Write the rows to this file.",
        HelpName = "OUT",
        Validators = { RequireFolder },
    };

    private static readonly Option<bool> Record = new("--record") { Description = "Write table, rows and versions under --results." };

    private static readonly Option<DirectoryInfo> Results = new("--results")
    {
        Description = "Folder of recorded results, one folder per processor in it.",
        HelpName = "DIR",
        DefaultValueFactory = _ => new DirectoryInfo(Path.Combine("bench", "results")),
    };

    // Checked before minutes of measuring, not after.
    private static void RequireFolder(OptionResult result)
    {
        if (result.GetValueOrDefault<FileInfo?>()?.Directory is { Exists: false } folder)
        {
            result.AddError($"{result.Option.Name}: there is no folder {folder.FullName}.");
        }
    }

    public static Command Create()
    {
        var command = new Command("bench", "Measure ops or models against stock TorchSharp, and inference against ONNX Runtime where it is installed.");
        command.Subcommands.Add(Ops());
        command.Subcommands.Add(Models());
        command.Subcommands.Add(Training());
        command.Subcommands.Add(Generation());
        command.Subcommands.Add(Data());
        command.Subcommands.Add(PeakMemory.ChildCommand());
        return command;
    }

    private static Command Ops()
    {
        var command = new Command("ops", "Every op, forward and forward + backward.") { Filter, DType, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            var filter = new BenchFilter(result.GetValue(Filter), result.GetValue(DType));
            var cases = BenchRunner.AllOps().Where(filter.Takes).ToList();
            if (cases.Count == 0)
            {
                throw new ArgumentException($"No benchmark matches --filter \"{result.GetValue(Filter)}\"; there are: {string.Join(", ", BenchRunner.AllOps().Select(c => c.Op).Distinct())}.");
            }
            var timing = result.GetValue(Quick) ? TimingOptions.Quick : TimingOptions.Full;
            return Run(result, "ops", (limits, progress) => BenchRunner.Run(cases, limits, timing, progress));
        });
        return command;
    }

    private static Command Models()
    {
        var name = new Option<string>("--model")
        {
            Description = $"Encoder: {string.Join(", ", EncoderPresets.Names)}. Weights are random, seeded.",
            DefaultValueFactory = _ => "sailvit-large",
        };
        var command = new Command("model", "A whole encoder, batch 1: forward, and forward + backward + AdamW step with peak memory.") { name, Filter, DType, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            var model = result.GetValue(name)!;
            var config = EncoderPresets.Get(model);
            var filter = new BenchFilter(result.GetValue(Filter));
            var dtype = result.GetValue(DType) ?? ScalarType.Float32;
            var cases = ModelBench.Cases(model, config, dtype).Concat(ModelBench.AgainstOnnxRuntime(model, config, dtype)).Where(filter.Takes).ToList();
            if (cases.Count == 0)
            {
                throw new ArgumentException($"No direction matches --filter \"{result.GetValue(Filter)}\"; there are forward and forward_backward.");
            }
            AnsiConsole.WriteLine($"{model} with seeded random weights, {config.ParameterCount / 1e6:f0} M parameters");
            var timing = result.GetValue(Quick) ? TimingOptions.QuickModel : TimingOptions.Model;
            return Run(result, "model", (limits, progress) => BenchRunner.Run(cases, limits, timing, progress).Select(row => PeakMemory.AddTo(row, model)));
        });
        return command;
    }

    private static Command Training()
    {
        var command = new Command("training", "A training step of a small multimodal model, everything trained, with AdamW.") { DType, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            var cases = TrainingBench.Cases(result.GetValue(DType) ?? ScalarType.Float32).ToList();
            var timing = result.GetValue(Quick) ? TimingOptions.QuickModel : TimingOptions.Model;
            return Run(result, "training", (limits, progress) => BenchRunner.Run(cases, limits, timing, progress));
        });
        return command;
    }

    private static Command Generation()
    {
        var name = new Option<string>("--model")
        {
            Description = $"Language model: {string.Join(", ", LanguagePresets.Names)}. Weights are random, seeded.",
            DefaultValueFactory = _ => "qwen3-0.6b",
        };
        var command = new Command("generate", $"A language model with its cache: the first token after {GenerationBench.Prompt}, and the next.") { name, Filter, DType, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            var model = result.GetValue(name)!;
            var config = LanguagePresets.Get(model);
            ScalarType[] dtypes = result.GetValue(DType) is { } one ? [one] : [ScalarType.Float32, ScalarType.BFloat16];
            var filter = new BenchFilter(result.GetValue(Filter));
            var cases = dtypes.SelectMany(dtype => GenerationBench.Cases(model, config, dtype)).Where(filter.Takes).ToList();
            if (cases.Count == 0)
            {
                throw new ArgumentException($"Nothing matches --filter \"{result.GetValue(Filter)}\"; there are first token and next token.");
            }
            AnsiConsole.WriteLine($"{model} with seeded random weights, {config.ParameterCount / 1e6:f0} M parameters");
            var timing = result.GetValue(Quick) ? TimingOptions.QuickModel : TimingOptions.Model;
            return Run(result, "generate", (limits, progress) => BenchRunner.Run(cases, limits, timing, progress));
        });
        return command;
    }

    private static Command Data()
    {
        var command = new Command("data", "How fast training data is made: JPEG files to batches of 448 px tiles and tokens.") { Quick };
        command.SetAction(result =>
        {
            var photographs = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "images")).Where(file => Path.GetExtension(file) is ".jpg" or ".png").Order(StringComparer.Ordinal).ToList();
            var table = new Table().AddColumns("JPEG", "most tiles", "images/s", "tiles/s");
            foreach (var row in DataBench.Run(photographs, Environment.ProcessorCount, result.GetValue(Quick) ? 3 : 9))
            {
                table.AddRow($"{row.Width}x{row.Height}", $"{row.MaxTiles}", $"{row.ImagesPerSecond:f0}", $"{row.TilesPerSecond:f0}");
            }
            Machine.Current().Lines().ToList().ForEach(AnsiConsole.WriteLine);
            WarnIfNotOptimised();
            Screen.Write(table);
        });
        return command;
    }

    private static int Run(ParseResult result, string kind, Func<Limits, Action<BenchProgress>, IEnumerable<BenchRow>> measure)
    {
        var machine = Machine.Current();
        foreach (var line in machine.Lines())
        {
            AnsiConsole.WriteLine(line);
        }
        WarnIfNotOptimised();
        if (BenchRunner.OnnxRuntimeProblem is { } problem)
        {
            AnsiConsole.WriteLine($"onnxruntime no rows against it, since its native library does not load: {problem}");
        }
        var limits = Limits.Measure();
        IEnumerable<BenchRow> Measure(Action<BenchProgress> progress)
        {
            foreach (var row in measure(limits, progress))
            {
                yield return row;
            }
            // Once more: the machine may have been busy with something else at the start.
            limits = limits.Best(Limits.Measure());
        }
        var rows = BenchTable.Show(Measure, row => row.At(limits), memory: kind == "model");
        AnsiConsole.WriteLine($"limits: {limits}");
        if (result.GetValue(JsonFile) is { } file)
        {
            BenchFiles.WriteJson(file.FullName, rows);
        }
        if (result.GetValue(Record))
        {
            AnsiConsole.WriteLine($"recorded in {BenchFiles.Record(result.GetValue(Results)!.FullName, kind, rows, machine, limits)}");
        }
        return 0;
    }

    private static void WarnIfNotOptimised()
    {
        var debuggable = (DebuggableAttribute?)Attribute.GetCustomAttribute(typeof(Kernels.Backends.Cpu.Cpu).Assembly, typeof(DebuggableAttribute));
        if (debuggable is { IsJITOptimizerDisabled: true })
        {
            AnsiConsole.MarkupLine("[yellow]This is a Debug build: our side is not optimised. Build with -c Release.[/]");
        }
    }
}
