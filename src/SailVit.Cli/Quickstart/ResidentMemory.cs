using System.Diagnostics;
using System.Globalization;

namespace SailVit.Cli.Quickstart;

/// <summary>The high-water mark of resident memory.</summary>
internal static class ResidentMemory
{
    /// <summary>Highest resident bytes since the last <see cref="Reset"/>, or since the start where it cannot be reset.</summary>
    public static long Peak
    {
        get
        {
            if (OperatingSystem.IsLinux() && File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)) is { } line)
            {
                return 1024 * long.Parse(line.AsSpan(6).Trim(" \tkB"), CultureInfo.InvariantCulture);
            }
            using var process = Process.GetCurrentProcess();
            return process.PeakWorkingSet64;
        }
    }

    /// <summary>Starts a new high-water mark. Linux only (proc(5), clear_refs, value 5).</summary>
    public static void Reset()
    {
        try
        {
            if (OperatingSystem.IsLinux())
            {
                File.WriteAllText("/proc/self/clear_refs", "5");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A hardened kernel forbids it: the mark then counts from the start of the process.
        }
    }
}
