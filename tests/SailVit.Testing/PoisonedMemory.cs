using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace SailVit.Testing;

/// <summary>Fills whatever the C allocator hands out, so that an output element that a kernel forgets to write is not what the
/// last call happened to leave there.</summary>
/// <remarks>Memory comes filled with the byte 7F: 3.4e38 in float32 and bfloat16, NaN in float16. glibc only; elsewhere
/// tests run without it.</remarks>
public static partial class PoisonedMemory
{
    // mallopt(3): allocated bytes become the complement of this value, freed ones the value itself.
    private const int Perturb = -6;
    private const int Complement = 0x80;

    /// <summary>Whether fresh memory is filled in this process.</summary>
    public static bool Active { get; } = TryActivate();

#pragma warning disable CA2255 // Every test of an op wants it, without having to ask.
    [ModuleInitializer]
    internal static void Initialize() => _ = Active;
#pragma warning restore CA2255

    private static bool TryActivate()
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }
        try
        {
            return mallopt(Perturb, Complement) == 1;
        }
        catch (EntryPointNotFoundException)
        {
            return false;
        }
    }

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);
}
