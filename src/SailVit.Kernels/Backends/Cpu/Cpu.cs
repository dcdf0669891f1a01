using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Vector widths that kernels are compiled for.</summary>
public enum SimdWidth
{
    /// <summary>One lane.</summary>
    Scalar = 1,

    /// <summary>128 bits: SSE, NEON.</summary>
    V128 = 4,

    /// <summary>256 bits: AVX2.</summary>
    V256 = 8,

    /// <summary>512 bits: AVX-512.</summary>
    V512 = 16,
}

/// <summary>What this processor offers, and the vector width that kernels use on it.</summary>
public static class Cpu
{
    /// <summary>Forces a width: 512, 256, 128 or scalar.</summary>
    public const string WidthVariable = "SAILVIT_SIMD";

    [ThreadStatic]
    private static SimdWidth? _forced;

    private static readonly Lazy<SimdWidth> Default = new(() => Parse(Environment.GetEnvironmentVariable(WidthVariable)));

    /// <summary>The widest path that this processor runs at full speed.</summary>
    public static SimdWidth Widest =>
        Vector512.IsHardwareAccelerated && Avx512F.IsSupported ? SimdWidth.V512
        : Vector256.IsHardwareAccelerated && Fma.IsSupported ? SimdWidth.V256
        : Vector128.IsHardwareAccelerated ? SimdWidth.V128
        : SimdWidth.Scalar;

    /// <summary>The width that ops called from this thread use now.</summary>
    public static SimdWidth Width => _forced ?? Default.Value;

    /// <summary>The widths that this processor can run, widest first.</summary>
    public static IReadOnlyList<SimdWidth> Available =>
        [.. Enum.GetValues<SimdWidth>().Where(w => w <= Widest).OrderDescending()];

    /// <summary>Uses one width for the ops called from this thread until the result is disposed.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static IDisposable Use(SimdWidth width)
    {
        var scope = new Scope(_forced);
        _forced = Require(width, width.ToString());
        return scope;
    }

    /// <summary>Reads a value of <see cref="WidthVariable"/>.</summary>
    internal static SimdWidth Parse(string? text) => text?.ToLowerInvariant() switch
    {
        null or "" or "auto" => Widest,
        "512" => Require(SimdWidth.V512, $"{WidthVariable}={text}"),
        "256" => Require(SimdWidth.V256, $"{WidthVariable}={text}"),
        "128" => Require(SimdWidth.V128, $"{WidthVariable}={text}"),
        "scalar" => SimdWidth.Scalar,
        _ => throw new PlatformNotSupportedException($"{WidthVariable}={text} is not a width; use 512, 256, 128, scalar or auto."),
    };

    private static SimdWidth Require(SimdWidth width, string asked) => Available.Contains(width)
        ? width
        : throw new PlatformNotSupportedException($"{asked} was asked for, but this processor offers {string.Join(", ", Available)}.");

    private sealed class Scope(SimdWidth? previous) : IDisposable
    {
        public void Dispose() => _forced = previous;
    }
}
