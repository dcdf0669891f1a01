using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Functions that every device has and C# cannot write, and what is made of them.</summary>
/// <remarks>The first have no body: ILGPU writes the call by name, and the backend gives the name its meaning.</remarks>
internal static class Builtin
{
    /// <summary>a·b + c, rounded once.</summary>
    [MethodImpl(MethodImplOptions.InternalCall)]
    public static extern float Fma(float a, float b, float c);

    /// <summary>Nearest integer, ties to even.</summary>
    [MethodImpl(MethodImplOptions.InternalCall)]
    public static extern float Round(float a);

    /// <summary>a + b, and in <paramref name="lost"/> what the sum loses (Kahan's sum as Neumaier has it). Not for kernels whose sums
    /// may be reordered.</summary>
    public static float Add(float a, float b, ref float lost)
    {
        float sum = a + b;
        lost += MathF.Abs(a) >= MathF.Abs(b) ? a - sum + b : b - sum + a;
        return sum;
    }

    /// <summary>The end of sums by <see cref="Add"/>. Of an infinite one the loss is not a number.</summary>
    public static float Total(float sum, float lost) => MathF.Abs(sum) < float.PositiveInfinity ? sum + lost : sum;

    /// <summary>1/√a to the last bit or the one beside it, where root and division by themselves are off by twice as much: the
    /// error is the same for a whole row, and does not average out.</summary>
    public static float Rsqrt(float a)
    {
        float r = 1 / MathF.Sqrt(a);
        float product = a * r;
        float error = Fma(-product, r, 1) - (Fma(a, r, -product) * r);
        // Of 0 and infinity there is nothing to correct.
        return r > 0 && r < float.PositiveInfinity ? Fma(0.5f * r, error, r) : r;
    }
}
