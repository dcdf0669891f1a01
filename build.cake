// dotnet tool restore && dotnet cake [--target=Test] [--configuration=Release] [--filter=rms_norm]
var target = Argument("target", "Test");
var configuration = Argument("configuration", "Release");
// Bench and MicroBench: which rows, in the words of `sailvit bench ops` or BenchmarkDotNet, and whether for a look only.
var filter = Argument("filter", "");
var quick = HasArgument("quick");

const string Solution = "./SailVit.sln";
var packages = Directory("./artifacts/package/release");
var measurements = Directory("./artifacts/bench");

Task("Clean")
    .Does(() =>
{
    DotNetClean(Solution, new DotNetCleanSettings { Configuration = configuration });
    CleanDirectory("./artifacts/package");
});

Task("Restore")
    .Does(() => DotNetRestore(Solution));

Task("Format")
    .Description("Rewrites sources by .editorconfig; --verify only checks.")
    .IsDependentOn("Restore")
    .Does(() => DotNetFormat(Solution, new DotNetFormatSettings { NoRestore = true, VerifyNoChanges = HasArgument("verify") }));

Task("Build")
    .IsDependentOn("Restore")
    .Does(() => DotNetBuild(Solution, new DotNetBuildSettings { Configuration = configuration, NoRestore = true }));

Task("Test")
    .IsDependentOn("Build")
    .Does(() => DotNetTest(Solution, new DotNetTestSettings { Configuration = configuration, NoBuild = true }));

Task("Bench")
    .Description("Measures every op against stock TorchSharp and writes a JSON file; keep the machine quiet.")
    .IsDependentOn("Build")
    .Does(() =>
{
    EnsureDirectoryExists(measurements);
    var arguments = new ProcessArgumentBuilder().Append("bench").Append("ops")
        .Append("--json").AppendQuoted(measurements + File("ops.json"));
    if (filter.Length > 0)
    {
        arguments.Append("--filter").AppendQuoted(filter);
    }
    if (quick)
    {
        arguments.Append("--quick");
    }
    DotNetRun("./src/SailVit.Cli", arguments, new DotNetRunSettings { Configuration = configuration, NoBuild = true });
});

Task("MicroBench")
    .Description("Measures the cost of a call; --filter takes BenchmarkDotNet's patterns, --quick its short job.")
    .IsDependentOn("Build")
    .Does(() =>
{
    var arguments = new ProcessArgumentBuilder().Append("--filter").AppendQuoted(filter.Length > 0 ? filter : "*");
    if (quick)
    {
        arguments.Append("--job").Append("short");
    }
    DotNetRun("./bench/SailVit.MicroBench", arguments, new DotNetRunSettings { Configuration = configuration, NoBuild = true });
});

Task("Pack")
    .IsDependentOn("Test")
    .Does(() =>
{
    DotNetPack(Solution, new DotNetPackSettings { Configuration = configuration, NoBuild = true, OutputDirectory = packages });
    foreach (var package in GetFiles($"{packages}/*.nupkg"))
    {
        Information(package.GetFilename());
    }
});

RunTarget(target);
