using System.Runtime.InteropServices;

namespace SailVit.Kernels.Interop;

/// <summary>oneDNN's product of small bfloat16 matrices with float32 sums, which libtorch builds for the processor at run time
/// and exports (<c>at::native::cpublas::brgemm</c>).</summary>
/// <remarks>
/// .NET has no bfloat16 dot products; on a Zen 4 this reaches 1.9 times the float32 multiply-add rate.
/// Each combination of sizes is compiled once per thread (about 0.1 ms): callers pad to few sizes.
/// Linux on x64 only. The exported name spells the argument types, so that another signature is not found instead of called.
/// The right matrix has pairs of rows side by side: element (k, n) lies at (k/2)·ldb·2 + 2n + k%2.
/// </remarks>
internal static unsafe class BFloat16Product
{
    private const string Export = "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb";
    private const string ReleaseExport = "_ZN2at6native7cpublas14brgemm_releaseEb";

    private static readonly delegate* unmanaged<long, long, long, long, long, long, byte, void*, void*, float*, byte, void> Brgemm;
    private static readonly delegate* unmanaged<byte, void> BrgemmRelease;
    private static readonly delegate* unmanaged<void*> GlobalContext;
    private static readonly delegate* unmanaged<void*, byte> UserEnabledMkldnn;

    static BFloat16Product()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            return;
        }
        nint library = LibTorch.CpuLibrary;
        if (NativeLibrary.TryGetExport(library, Export, out nint brgemm)
            && NativeLibrary.TryGetExport(library, ReleaseExport, out nint release)
            && NativeLibrary.TryGetExport(library, "_ZN2at13globalContextEv", out nint context)
            && NativeLibrary.TryGetExport(library, "_ZNK2at7Context17userEnabledMkldnnEv", out nint enabled))
        {
            Brgemm = (delegate* unmanaged<long, long, long, long, long, long, byte, void*, void*, float*, byte, void>)brgemm;
            BrgemmRelease = (delegate* unmanaged<byte, void>)release;
            GlobalContext = (delegate* unmanaged<void*>)context;
            UserEnabledMkldnn = (delegate* unmanaged<void*, byte>)enabled;
        }
    }

    // A lower instruction set that a user asks of oneDNN makes the product throw through managed frames, which ends the process.
    private static readonly bool IsLimited =
        Environment.GetEnvironmentVariable("ONEDNN_MAX_CPU_ISA") is not null || Environment.GetEnvironmentVariable("DNNL_MAX_CPU_ISA") is not null;

    /// <summary>Whether it can be called now, on a processor with AVX-512.</summary>
    public static bool IsAvailable => Brgemm != null && !IsLimited && UserEnabledMkldnn(GlobalContext()) != 0;

    /// <summary>C[m, n] (+)= A[m, k]·B[k, n]; A and C row-major, B in pairs of rows; strides in elements.</summary>
    public static void Multiply(int m, int n, int k, ushort* a, int lda, ushort* b, int ldb, float* c, int ldc, bool add) =>
        Brgemm(m, n, k, lda, ldb, ldc, add ? (byte)1 : (byte)0, a, b, c, 1);

    /// <summary>Gives back what the running thread holds of the processor (the tiles of AMX).</summary>
    public static void Release() => BrgemmRelease(1);
}
