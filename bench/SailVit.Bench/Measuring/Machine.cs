using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Measuring;

/// <summary>Where and with what a measurement was made.</summary>
public sealed partial record Machine
{
    /// <summary>Processor as it names itself.</summary>
    public required string Processor { get; init; }

    /// <summary>Threads that libtorch and our kernels use.</summary>
    public required int Threads { get; init; }

    /// <summary>Vector width of our kernels.</summary>
    public required string Simd { get; init; }

    /// <summary>Operating system.</summary>
    public required string Os { get; init; }

    /// <summary>.NET runtime.</summary>
    public required string DotNetVersion { get; init; }

    /// <summary>TorchSharp package.</summary>
    public required string TorchSharpVersion { get; init; }

    /// <summary>libtorch.</summary>
    public required string LibTorchVersion { get; init; }

    /// <summary>This library.</summary>
    public required string SailVitVersion { get; init; }

    /// <summary>The OpenCL device in use and its driver; null where our side runs on the processor.</summary>
    public string? OpenClDevice { get; init; }

    /// <summary>Reads it from the running process.</summary>
    public static Machine Current() => new()
    {
        Processor = ProcessorName(),
        Threads = get_num_threads(),
        Simd = Cpu.Width.ToString(),
        Os = $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}",
        DotNetVersion = RuntimeInformation.FrameworkDescription,
        TorchSharpVersion = Version(typeof(torch).Assembly),
        LibTorchVersion = PackageOf(LibTorch.Info.Folder),
        SailVitVersion = Version(typeof(Cpu).Assembly),
        OpenClDevice = Dispatcher.Choice == BackendKind.OpenCl ? $"{OpenClDevices.Current}, {OpenClDevices.Current.DriverVersion}" : null,
    };

    /// <summary>Folder name of this machine's results: processor and threads.</summary>
    public string Slug => $"{NotInSlug().Replace(Processor.ToLowerInvariant(), "-").Trim('-')}-{Threads}t";

    /// <summary>One line per item.</summary>
    public IEnumerable<string> Lines()
    {
        yield return $"processor   {Processor}, {Threads} threads, {Simd}";
        yield return $"system      {Os}";
        yield return $"runtime     {DotNetVersion}";
        yield return $"TorchSharp  {TorchSharpVersion}";
        yield return $"libtorch    {LibTorchVersion}";
        yield return $"SailVit     {SailVitVersion}";
        if (OpenClDevice is not null)
        {
            yield return $"OpenCL      {OpenClDevice}";
        }
    }

    private static string Version(Assembly assembly)
    {
        var version = assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? assembly.GetName().Version?.ToString() ?? "unknown";
        return version.Split('+') is [var number, { Length: > 10 } commit] ? $"{number}+{commit[..10]}" : version;
    }

    // The package folder carries the version; a libtorch from elsewhere is named by its folder.
    private static string PackageOf(string folder) =>
        PackageVersion().Match(folder) is { Success: true } match ? match.Groups[1].Value : folder;

    private static string ProcessorName()
    {
        const string Info = "/proc/cpuinfo";
        if (OperatingSystem.IsLinux() && File.Exists(Info))
        {
            var fields = File.ReadLines(Info).TakeWhile(line => line.Length > 0)
                .Select(line => line.Split(':', 2, StringSplitOptions.TrimEntries)).Where(f => f.Length == 2)
                .ToDictionary(f => f[0], f => f[1]);
            if (fields.TryGetValue("model name", out var name))
            {
                // Virtual machines shorten the name; family and model tell the generation.
                return fields.TryGetValue("cpu family", out var family) && fields.TryGetValue("model", out var model) ? $"{name} (family {family} model {model})" : name;
            }
        }
        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotInSlug();

    [GeneratedRegex(@"libtorch-[a-z0-9.-]+[/\\](\d[\w.]*)[/\\]")]
    private static partial Regex PackageVersion();
}
