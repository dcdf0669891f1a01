using System.Runtime.Intrinsics;
using SailVit.Kernels.Backends.Cpu;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

/// <summary>Code that is run at one vector width.</summary>
internal interface ISimdProbe
{
    void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Runs test code at the widths of this processor, on arrays of any length.</summary>
internal static unsafe class SimdProbe
{
    /// <summary>For theories.</summary>
    public static TheoryData<SimdWidth> Widths => [.. Cpu.Available];

    public static void At(SimdWidth width, ISimdProbe probe)
    {
        switch (width)
        {
            case SimdWidth.V512:
                probe.Run<Simd512, Vector512<float>>();
                break;
            case SimdWidth.V256:
                probe.Run<Simd256, Vector256<float>>();
                break;
            case SimdWidth.V128:
                probe.Run<Simd128, Vector128<float>>();
                break;
            default:
                probe.Run<SimdScalar, float>();
                break;
        }
    }

    /// <summary>Applies a function of up to three vectors to arrays.</summary>
    public static float[] Map(SimdWidth width, IVectorFunction function, float[] a, float[]? b = null, float[]? c = null)
    {
        var mapping = new Mapping(function, a, b ?? a, c ?? a);
        At(width, mapping);
        return mapping.Result;
    }

    private sealed class Mapping(IVectorFunction function, float[] a, float[] b, float[] c) : ISimdProbe
    {
        public float[] Result { get; } = new float[a.Length];

        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            // The last vector is padded, so that every element goes through the width under test.
            float* pa = stackalloc float[16], pb = stackalloc float[16], pc = stackalloc float[16], py = stackalloc float[16];
            for (int i = 0; i < a.Length; i += S.Width)
            {
                int n = Math.Min(S.Width, a.Length - i);
                a.AsSpan(i, n).CopyTo(new(pa, 16));
                b.AsSpan(i, n).CopyTo(new(pb, 16));
                c.AsSpan(i, n).CopyTo(new(pc, 16));
                S.Store(py, function.Apply<S, V>(S.Load(pa), S.Load(pb), S.Load(pc)));
                new Span<float>(py, n).CopyTo(Result.AsSpan(i));
            }
        }
    }
}

/// <summary>A function of up to three vectors.</summary>
internal interface IVectorFunction
{
    V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged;
}
