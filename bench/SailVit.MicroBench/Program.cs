using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Exporters.Json;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using SailVit.MicroBench;

if (args is [FirstCall.Verb, var op])
{
    FirstCall.RunHere(op);
    return 0;
}

// In this process: a generated project would restore and copy libtorch for itself, 460 MB.
var config = ManualConfig.CreateEmpty()
    .WithArtifactsPath(Path.Combine("artifacts", "microbench"))
    .AddLogger(ConsoleLogger.Default)
    .AddColumnProvider(DefaultColumnProviders.Instance)
    .AddDiagnoser(MemoryDiagnoser.Default)
    .AddExporter(MarkdownExporter.GitHub, JsonExporter.Brief)
    .AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).AsMutator());
return BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config).Any() ? 0 : 1;
