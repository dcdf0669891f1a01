using System.Globalization;

namespace SailVit.Testing;

/// <summary>How much memory a piece of work needs at its peak. For tests that run alone: the whole process is measured.</summary>
public static class PeakMemory
{
    private const string Status = "/proc/self/status";
    private const string ClearRefs = "/proc/self/clear_refs";

    // proc(5): resets the peak resident set size.
    private const string ResetPeak = "5";

    /// <summary>Bytes of resident memory at the peak of <paramref name="work"/> above what was resident before; null where the
    /// system cannot tell (only Linux resets its high-water mark).</summary>
    public static long? Of(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        if (!CanReset())
        {
            return null;
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
        File.WriteAllText(ClearRefs, ResetPeak);
        long before = Read("VmRSS:");
        work();
        return Read("VmHWM:") - before;
    }

    private static bool CanReset()
    {
        try
        {
            File.WriteAllText(ClearRefs, ResetPeak);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    // "VmRSS:     1234 kB"
    private static long Read(string name)
    {
        var line = File.ReadLines(Status).First(l => l.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^2].Trim(), CultureInfo.InvariantCulture) * 1024;
    }
}
