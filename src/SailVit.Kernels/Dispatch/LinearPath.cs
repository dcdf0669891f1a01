using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Dispatch;

/// <summary>Who computes the matrix products of linear layers and patch embeddings.</summary>
public enum LinearPath
{
    /// <summary>The faster one for the dtype on this processor, by <see cref="LinearDispatch.Rule"/>.</summary>
    Auto,

    /// <summary>This library's own product, epilogues fused.</summary>
    Own,

    /// <summary>libtorch's product; activation and residual are separate passes.</summary>
    LibTorch,
}

/// <summary>Chooses between the own matrix product and libtorch's, per dtype.</summary>
/// <remarks>
/// A rule over processor features, not a timing at run time: the same program gives the same bits in every run.
/// It follows measurements in bench/results: .NET 10 has no bfloat16 or float16 dot products, libtorch uses those that
/// the processor has; in float32, the own product is ahead wherever vectors of 256 or 512 bits multiply and add.
/// </remarks>
public static class LinearDispatch
{
    /// <summary>Forces a path: auto, own or libtorch.</summary>
    public const string PathVariable = "SAILVIT_LINEAR";

    /// <summary>At most so many rows go through the weight as it is, row by row. Eight rows read it from the second cache eight times.</summary>
    internal const long FewRows = 8;

    private static readonly Lazy<LinearPath> FromEnvironment = new(() => Parse(Environment.GetEnvironmentVariable(PathVariable)));

    [ThreadStatic]
    private static LinearPath? _forced;

    /// <summary>What ops called from this thread are told to use.</summary>
    public static LinearPath Choice => _forced ?? FromEnvironment.Value;

    /// <summary>Uses one path for the ops called from this thread until the result is disposed.</summary>
    public static IDisposable Use(LinearPath path)
    {
        var scope = new Scope(_forced);
        _forced = path;
        return scope;
    }

    /// <summary>Reads a path's name; null or empty is <see cref="LinearPath.Auto"/>.</summary>
    /// <exception cref="PlatformNotSupportedException">There is no such path.</exception>
    public static LinearPath Parse(string? name) => name?.ToLowerInvariant() switch
    {
        null or "" or "auto" => LinearPath.Auto,
        "own" => LinearPath.Own,
        "libtorch" => LinearPath.LibTorch,
        _ => throw new PlatformNotSupportedException($"{PathVariable}={name} is not a path of linear layers; use auto, own or libtorch."),
    };

    /// <summary>The path that the ops take for a dtype now, and why; for <c>doctor</c>. Products of at most eight
    /// rows are the own kernel's in inference, and libtorch's in float32 training, unless a path is forced.</summary>
    /// <param name="dtype">float32, bfloat16 or float16.</param>
    public static (LinearPath Path, string Reason) Explain(TorchSharp.torch.ScalarType dtype)
    {
        var choice = Choice;
        return choice == LinearPath.Auto ? Rule((DType)dtype) : (choice, $"forced ({PathVariable} or {nameof(LinearDispatch)}.{nameof(Use)})");
    }

    /// <summary>The path of one call.</summary>
    /// <remarks>Few rows without a backward pass are the own product's, which reads the weight once and as it is. In training
    /// it would be packed for the gradient, which takes longer than libtorch's whole product.</remarks>
    internal static LinearPath For(DType dtype, long rows, bool packed, bool training = true)
    {
        var choice = Choice;
        // A device has the own product only: paths are a matter of the processor.
        return Dispatcher.UsesOpenCl ? LinearPath.Own : choice != LinearPath.Auto ? choice
            : rows > FewRows ? Rule(dtype).Path
            : !training && WideVectors ? LinearPath.Own
            : dtype == DType.Float32 && !packed ? LinearPath.LibTorch
            : Rule(dtype).Path;
    }

    private static bool WideVectors => Fma.IsSupported && Vector256.IsHardwareAccelerated;

    private static (LinearPath Path, string Reason) Rule(DType dtype) => dtype switch
    {
        DType.BFloat16 when Features.BFloat16Dot => (LinearPath.LibTorch, "the processor has bfloat16 dot products, which .NET lacks"),
        DType.Float16 when Features.Float16Dot => (LinearPath.LibTorch, "the processor has float16 arithmetic, which .NET lacks"),
        _ when WideVectors => (LinearPath.Own, "vectors of 256 or 512 bits multiply and add"),
        _ => (LinearPath.LibTorch, "vectors are 128 bits wide here; libtorch has the platform's own library"),
    };

    // Intel SDM vol. 2A, CPUID leaf 7.
    private static class Features
    {
        private const int Amx_Bf16 = 1 << 22, Avx512_Fp16 = 1 << 23, Avx512_Bf16 = 1 << 5, Amx_Fp16 = 1 << 21;

        static Features()
        {
            if (X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 7)
            {
                var (subleaves, _, _, edx) = X86Base.CpuId(7, 0);
                int more = subleaves >= 1 ? X86Base.CpuId(7, 1).Eax : 0;
                BFloat16Dot = (edx & Amx_Bf16) != 0 || (more & Avx512_Bf16) != 0;
                Float16Dot = (edx & Avx512_Fp16) != 0 || (more & Amx_Fp16) != 0;
            }
        }

        public static bool BFloat16Dot { get; }

        public static bool Float16Dot { get; }
    }

    private sealed class Scope(LinearPath? previous) : IDisposable
    {
        public void Dispose() => _forced = previous;
    }
}
