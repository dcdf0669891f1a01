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

/// <summary><c>sailvit bench ops|model|training|loss|generate|data</c>: ours against stock TorchSharp, in one process, strictly in turn.</summary>
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

    private static readonly Option<string?> Backend = BackendOption.Create();

    private static readonly Option<bool> Quick = new("--quick") { Description = "Fewer samples: a look, not a record." };

    private static readonly Option<string?> JsonFile = JsonOption.Create("Write the rows to this file.");

    private static readonly Option<bool> Record = new("--record") { Description = "Write table, rows and versions under --results." };

    private static readonly Option<DirectoryInfo> Results = new("--results")
    {
        Description = "Folder of recorded results, one folder per processor in it.",
        HelpName = "DIR",
        DefaultValueFactory = _ => new DirectoryInfo(Path.Combine("bench", "results")),
    };

    public static Command Create()
    {
        var command = new Command("bench", "Measure ops or models against stock TorchSharp, and inference against ONNX Runtime where it is installed.");
        command.Subcommands.Add(Ops());
        command.Subcommands.Add(Models());
        command.Subcommands.Add(Training());
        command.Subcommands.Add(Loss());
        command.Subcommands.Add(Generation());
        command.Subcommands.Add(Data());
        command.Subcommands.Add(PeakMemory.ChildCommand());
        return command;
    }

    private static Command Ops()
    {
        var command = new Command("ops", "Every op, forward and forward + backward.") { Filter, DType, Backend, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            using var use = BackendOption.Use(result, Backend);
            var filter = new BenchFilter(result.GetValue(Filter), result.GetValue(DType));
            var cases = BenchRunner.AllOps().Where(filter.Takes).ToList();
            if (cases.Count == 0)
            {
                throw new ArgumentException($"No benchmark matches --filter \"{result.GetValue(Filter)}\"; there are: {string.Join(", ", BenchRunner.AllOps().Select(c => c.Op).Distinct())}.");
            }
            var timing = result.GetValue(Quick) ? TimingOptions.Quick : TimingOptions.Full;
            return Run(result, "ops", timing, (limits, t, progress) => BenchRunner.Run(cases, limits, t, progress));
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
        var command = new Command("model", "A whole encoder, batch 1: forward, and forward + backward + AdamW step with peak memory.") { name, Filter, DType, Backend, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            using var use = BackendOption.Use(result, Backend);
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
            return Run(result, "model", timing, (limits, t, progress) => BenchRunner.Run(cases, limits, t, progress).Select(row => PeakMemory.AddTo(row, model)));
        });
        return command;
    }

    private static Command Training() => Step("training", "Training steps of multimodal models, everything trained, with AdamW, and their peak memory.", TrainingBench.Cases, TimingOptions.Step);

    private static Command Loss() => Step("loss", "Head and loss of a language model of 152k tokens, and what they take above weights and hidden states.", HeadLossBench.Cases, TimingOptions.Model);

    private static Command Step(string name, string description, Func<ScalarType, IEnumerable<BenchCase>> cases, TimingOptions full)
    {
        var command = new Command(name, description) { DType, Quick, JsonFile, Record, Results };
        command.SetAction(result =>
        {
            var chosen = cases(result.GetValue(DType) ?? ScalarType.Float32).ToList();
            var timing = result.GetValue(Quick) ? TimingOptions.QuickModel : full;
            return Run(result, name, timing, (limits, t, progress) => BenchRunner.Run(chosen, limits, t, progress).Select(row => PeakMemory.AddTo(row, row.Op)));
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
            return Run(result, "generate", timing, (limits, t, progress) => BenchRunner.Run(cases, limits, t, progress));
        });
        return command;
    }

    private static Command Data()
    {
        var command = new Command("data", "How fast training data is made: JPEG files to batches of 448 px tiles and tokens.") { Quick, Record, Results };
        command.SetAction(result =>
        {
            var photographs = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "images")).Where(file => Path.GetExtension(file) is ".jpg" or ".png").Order(StringComparer.Ordinal).ToList();
            var machine = Machine.Current();
            using var interrupt = new Interrupt();
            var rows = DataBench.Run(photographs, Environment.ProcessorCount, result.GetValue(Quick) ? 3 : 9, interrupt.Token).ToList();
            var table = new Table().AddColumns(BenchFiles.DataHeader);
            rows.ForEach(row => table.AddRow(BenchFiles.DataCells(row)));
            machine.Lines().ToList().ForEach(AnsiConsole.WriteLine);
            WarnIfNotOptimised();
            Screen.Write(table);
            ThrowIfInterrupted(interrupt, rows.Count);
            if (result.GetValue(Record))
            {
                AnsiConsole.WriteLine($"recorded in {BenchFiles.Record(result.GetValue(Results)!.FullName, rows, machine)}");
            }
        });
        return command;
    }

    private static int Run(ParseResult result, string kind, TimingOptions timing, Func<Limits, TimingOptions, Action<BenchProgress>, IEnumerable<BenchRow>> measure)
    {
        using var interrupt = new Interrupt();
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
        if (result.GetValue(Record) && result.GetValue(Filter) is not null)
        {
            throw new ArgumentException("--record takes the place of the rows recorded before, and --filter would leave some out; use one of them.");
        }
        var limits = Limits.Measure();
        IEnumerable<BenchRow> Measure(Action<BenchProgress> progress)
        {
            foreach (var row in measure(limits, timing with { Cancellation = interrupt.Token }, progress))
            {
                yield return row;
            }
            // Once more: the machine may have been busy with something else at the start.
            limits = limits.Best(Limits.Measure());
        }
        var rows = BenchTable.Show(Measure, row => row.At(limits), memory: kind is "model" or "training" or "loss", interrupt.Token);
        AnsiConsole.WriteLine($"limits: {limits}");
        if (result.GetValue(JsonFile) is { } file)
        {
            BenchFiles.WriteJson(file, rows);
        }
        ThrowIfInterrupted(interrupt, rows.Count);
        if (result.GetValue(Record))
        {
            // Under a name of its own: a run of one dtype must not take the place of a whole one's rows.
            string name = (result.GetValue(DType) is { } dtype ? $"{kind} --dtype {Names.Of(dtype)}" : kind) + (machine.OpenClDevice is null ? "" : " --backend opencl");
            AnsiConsole.WriteLine($"recorded in {BenchFiles.Record(result.GetValue(Results)!.FullName, name, rows, machine, limits)}");
        }
        return 0;
    }

    // Recorded rows are those of a whole run.
    private static void ThrowIfInterrupted(Interrupt interrupt, int rows)
    {
        if (interrupt.Token.IsCancellationRequested)
        {
            throw new OperationCanceledException($"interrupted; {rows} rows were measured, and nothing was recorded.");
        }
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
