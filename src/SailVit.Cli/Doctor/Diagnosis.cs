using System.Collections;
using System.Globalization;
using SailVit.Bench.Measuring;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Doctor;

/// <summary>One finding.</summary>
internal sealed record Finding(string Topic, string Name, string Value);

/// <summary>One op in one dtype: what computes it, and how far it is from float64 beside stock ops.</summary>
internal sealed record OpFinding(string Op, string DType, string Backend, double Error, double StockError, bool Passed, string? Failure);

/// <summary>What this machine offers and what this library does with it.</summary>
internal sealed record Diagnosis(IReadOnlyList<Finding> Findings, IReadOnlyList<OpFinding> Ops, bool Passed)
{
    private static readonly string[] KnownVariables = [LibTorch.FolderVariable, Cpu.WidthVariable, Dispatcher.BackendVariable, LinearDispatch.PathVariable, OpenClDevices.DeviceVariable];

    private static readonly string[] ThreadVariables = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"];

    public static Diagnosis Make()
    {
        var findings = new List<Finding>();
        findings.AddRange(Libraries());
        findings.AddRange(Processor());
        findings.AddRange(Backends());
        findings.AddRange(Environment());
        var ops = OpSelfTest.All.SelectMany(test => new[] { float32, bfloat16, float16 }.Select(dtype => Examine(test, dtype))).ToList();
        return new(findings, ops, ops.TrueForAll(o => o.Passed));
    }

    private static IEnumerable<Finding> Libraries()
    {
        var info = LibTorch.Info;
        var machine = Machine.Current();
        yield return new("libraries", "libtorch", $"{LibTorch.Version} in {info.Folder}, from {info.Source}");
        yield return new("libraries", "TorchSharp", $"{machine.TorchSharpVersion}, native library {info.TorchSharpLibrary}");
        yield return new("libraries", "adapted copy", info.Patched ? "yes: this system's C++ runtime is older than the one TorchSharp was built with" : "not needed");
        yield return new("libraries", "SailVit", machine.SailVitVersion);
        yield return new("libraries", ".NET", machine.DotNetVersion);
        yield return new("libraries", "system", machine.Os);
    }

    private static IEnumerable<Finding> Processor()
    {
        yield return new("processor", "name", Machine.Current().Processor);
        yield return new("processor", "vector widths", string.Join(", ", Cpu.Available));
        yield return new("processor", "width in use", Cpu.Width == Cpu.Widest ? $"{Cpu.Width}, the widest" : $"{Cpu.Width}, forced by {Cpu.WidthVariable}");
        yield return new("processor", "threads", $"{get_num_threads()} of {System.Environment.ProcessorCount} processors, libtorch's pool");
        // The load is known once a collection has run.
        GC.Collect();
        var memory = GC.GetGCMemoryInfo();
        yield return new("processor", "memory", string.Create(CultureInfo.InvariantCulture, $"{memory.TotalAvailableMemoryBytes / 1e9:f1} GB, {(memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes) / 1e9:f1} GB free"));
    }

    private static IEnumerable<Finding> Backends()
    {
        foreach (var backend in Enum.GetValues<BackendKind>().Where(b => b != BackendKind.Auto))
        {
            yield return new("backends", backend.ToString(), Explain(backend));
        }
        foreach (var device in OpenClDevices.All)
        {
            yield return new("backends", $"OpenCL {device.Index}", string.Create(CultureInfo.InvariantCulture,
                $"{device}, {device.Version.Split(' ')[1]}, driver {device.DriverVersion}, {device.ComputeUnits} units, {device.GlobalMemory / 1e9:f1} GB{(device.SharesMemory ? " shared with the host" : "")}, {device.LocalMemory >> 10} KB local; float64 {YesNo(device.HasFloat64)}, float16 {YesNo(device.HasFloat16)}, subgroups {YesNo(device.HasSubgroups)}"));
        }
        yield return Installed();
        yield return new("backends", "choice", Dispatcher.Choice == BackendKind.Auto ? "by the device of the tensors" : $"{Dispatcher.Choice}, forced by {Dispatcher.BackendVariable}");
    }

    private static string Explain(BackendKind backend) =>
        backend == BackendKind.Cuda ? "not in this build"
        : !Dispatcher.Available.Contains(backend) ? "no device; the driver's package or pocl-opencl-icd brings one"
        : backend == BackendKind.OpenCl ? $"every op, on {OpenClDevices.Current}"
        : "available";

    private static string YesNo(bool value) => value ? "yes" : "no";

    private static Finding Installed()
    {
        try
        {
            using var accelerator = Kernels.Accelerator.Install();
            return new("backends", "accelerator", Dispatcher.Choice == BackendKind.OpenCl
                ? "leaves unchanged models to libtorch: its kernels are the processor's"
                : $"can take over {Kernels.Accelerator.Installed} of unchanged models");
        }
        catch (LibTorchException e)
        {
            return new("backends", "accelerator", e.Message);
        }
    }

    private static IEnumerable<Finding> Environment()
    {
        var set = System.Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Select(e => (Name: (string)e.Key, Value: (string?)e.Value))
            .Where(v => v.Name.StartsWith("SAILVIT_", StringComparison.Ordinal) || ThreadVariables.Contains(v.Name))
            .OrderBy(v => v.Name, StringComparer.Ordinal).ToList();
        foreach (var (name, value) in set)
        {
            bool known = KnownVariables.Contains(name) || ThreadVariables.Contains(name);
            yield return new("environment", name, known ? $"{value}" : $"{value} (no such setting; there are {string.Join(", ", KnownVariables)})");
        }
        if (set.Count == 0)
        {
            yield return new("environment", "settings", $"none of {string.Join(", ", KnownVariables)}");
        }
    }

    private static OpFinding Examine(OpSelfTest test, ScalarType dtype)
    {
        var backend = BackendOf(test.Op, dtype);
        try
        {
            var error = test.Run(dtype);
            return new(test.Op, dtype.ToString(), backend, error.Ours, error.Stock, OpSelfTest.Passes(error, dtype), null);
        }
        catch (Exception e)
        {
            // The report is the point: an op that fails is a finding, whatever it throws.
            return new(test.Op, dtype.ToString(), backend, double.NaN, double.NaN, false, e.Message);
        }
    }

    private static string BackendOf(string op, ScalarType dtype)
    {
        if (Dispatcher.Choice == BackendKind.OpenCl)
        {
            return $"opencl {OpenClDevices.Current.Name}";
        }
        if (op.StartsWith("attention", StringComparison.Ordinal))
        {
            return $"cpu {Cpu.Width}: {AttentionDispatch.Explain(dtype)}";
        }
        if (!op.StartsWith("linear", StringComparison.Ordinal))
        {
            return $"cpu {Cpu.Width}";
        }
        var (path, reason) = LinearDispatch.Explain(dtype);
        return $"{(path == LinearPath.Own ? $"cpu {Cpu.Width}" : "libtorch")}: {reason}";
    }
}
