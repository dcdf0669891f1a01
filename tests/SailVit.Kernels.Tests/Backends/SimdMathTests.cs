using SailVit.Kernels.Backends.Cpu;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

/// <summary>Elementary functions against float64, over dense ranges at every width.</summary>
public sealed class SimdMathTests
{
    public static TheoryData<SimdWidth> Widths => SimdProbe.Widths;

    private sealed class Exp : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => SimdMath.Exp<S, V>(a);
    }

    private sealed class Sigmoid : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => SimdMath.Sigmoid<S, V>(a, out _);
    }

    private sealed class Reciprocal : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => S.ReciprocalAboveOne(a);
    }

    private sealed class Distribution : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => NormalTail.Distribution<S, V>(a);
    }

    private sealed class GeluSlope : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => NormalTail.GeluSlope<S, V>(a);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Exp_IsWithinTwoUlp(SimdWidth width) =>
        CheckUlp(SimdProbe.Map(width, new Exp(), Dense(-87.3f, 88.72f)), Dense(-87.3f, 88.72f), Math.Exp, 2);

    [Theory]
    [MemberData(nameof(Widths))]
    public void Exp_AtTheEdges(SimdWidth width)
    {
        float[] x = [0, -0f, float.NegativeInfinity, -1e30f, -104, -87.4f, 88.73f, 1e30f, float.PositiveInfinity, float.NaN, 1e-42f];
        float[] expected = [1, 1, 0, 0, 0, 0, float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity, float.NaN, 1];
        Assert.Equal(expected, SimdProbe.Map(width, new Exp(), x));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Sigmoid_IsWithinFourUlp(SimdWidth width) =>
        CheckUlp(SimdProbe.Map(width, new Sigmoid(), Dense(-87, 87)), Dense(-87, 87), v => 1 / (1 + Math.Exp(-v)), 4);

    [Theory]
    [MemberData(nameof(Widths))]
    public void ReciprocalAboveOne_IsNearlyRounded(SimdWidth width)
    {
        float[] x = [.. Enumerable.Range(0, 400_000).Select(i => MathF.Pow(2, i / 3200f)), .. Enumerable.Range(0, 1 << 20).Select(i => BitConverter.Int32BitsToSingle(0x3f800000 + (i * 8)))];
        CheckUlp(SimdProbe.Map(width, new Reciprocal(), x), x, v => 1 / v, 0.55);
        Assert.Equal([1, float.NaN], SimdProbe.Map(width, new Reciprocal(), [1, float.NaN]));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Sigmoid_AtTheEdges(SimdWidth width)
    {
        float[] x = [float.NegativeInfinity, -1e30f, -0f, 0, 1e30f, float.PositiveInfinity, float.NaN];
        Assert.Equal([0, 0, 0.5f, 0.5f, 1, 1, float.NaN], SimdProbe.Map(width, new Sigmoid(), x));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void NormalDistribution_IsNearlyRounded(SimdWidth width)
    {
        CheckAbsolute(SimdProbe.Map(width, new Distribution(), Dense(-9, 9)), Dense(-9, 9), Distribution64, 1.1 / (1 << 24));
        Assert.Equal([0, 0, 0.5f, 0.5f, 1, 1, float.NaN], SimdProbe.Map(width, new Distribution(), [float.NegativeInfinity, -6, -0f, 0, 6, float.PositiveInfinity, float.NaN]));
    }

    // Where the error function cancels, this does not: Φ is small there, and its error too.
    [Theory]
    [MemberData(nameof(Widths))]
    public void NormalDistribution_KeepsDigitsInTheTail(SimdWidth width)
    {
        var x = Dense(-4, -1e-6f);
        var ours = SimdProbe.Map(width, new Distribution(), x);
        Assert.All(x.Zip(ours), p => Assert.InRange(p.Second / Distribution64(p.First), 1 - 2e-5, 1 + 2e-5));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void GeluSlope_IsWithinTwoUlp(SimdWidth width)
    {
        CheckAbsolute(SimdProbe.Map(width, new GeluSlope(), Dense(-9, 9)), Dense(-9, 9), v => Distribution64(v) + (v * Math.Exp(-v * v / 2) / Math.Sqrt(2 * Math.PI)), 2.0 / (1 << 23));
        Assert.Equal([0, 0, 0.5f, 0.5f, 1, 1, float.NaN], SimdProbe.Map(width, new GeluSlope(), [float.NegativeInfinity, -7, -0f, 0, 7, float.PositiveInfinity, float.NaN]));
    }

    // 400,003 points, evenly spread, and as many around 0 at every magnitude.
    private static float[] Dense(float low, float high)
    {
        const int Count = 400_003;
        var x = new float[2 * Count];
        for (int i = 0; i < Count; i++)
        {
            double t = i / (double)(Count - 1);
            x[i] = (float)(low + (t * ((double)high - low)));
            x[Count + i] = (float)((i % 2 == 0 ? high : low) * Math.Pow(2, -40 * t));
        }
        return x;
    }

    private static void CheckUlp(float[] ours, float[] x, Func<double, double> reference, double allowed)
    {
        double worst = 0, at = 0;
        for (int i = 0; i < x.Length; i++)
        {
            double expected = reference(x[i]);
            double ulp = Math.ScaleB(1, Math.Max(Math.ILogB(expected), -126) - 23);
            double error = Math.Abs(ours[i] - expected) / ulp;
            if (!(error <= worst))
            {
                (worst, at) = (error, x[i]);
            }
        }
        Assert.True(worst <= allowed, $"{worst:f3} ulp at {at:r}; {allowed} allowed.");
    }

    private static void CheckAbsolute(float[] ours, float[] x, Func<double, double> reference, double allowed)
    {
        for (int i = 0; i < x.Length; i++)
        {
            double error = Math.Abs(ours[i] - reference(x[i]));
            Assert.True(error <= allowed, $"{error:g3} at {x[i]:r}; {allowed:g3} allowed.");
        }
    }

    private static double Distribution64(double x) => x < -1 ? Tail(-x / Math.Sqrt(2)) / 2 : (1 + ErfReference(x / Math.Sqrt(2))) / 2;

    // erfc above 0.7 by its continued fraction, which does not cancel.
    private static double Tail(double t)
    {
        double fraction = 0;
        for (int n = 400; n > 0; n--)
        {
            fraction = n / 2.0 / (t + fraction);
        }
        return Math.Exp(-t * t) / Math.Sqrt(Math.PI) / (t + fraction);
    }

    // Series below 2, continued fraction of erfc above: both to float64 accuracy there.
    private static double ErfReference(double x)
    {
        double t = Math.Abs(x), sum;
        if (t < 2)
        {
            double term = t;
            sum = t;
            for (int n = 1; n < 60; n++)
            {
                term *= -t * t / n;
                sum += term / ((2 * n) + 1);
            }
            return Math.CopySign(sum * 2 / Math.Sqrt(Math.PI), x);
        }
        return Math.CopySign(1 - Tail(t), x);
    }
}
