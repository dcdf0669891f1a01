using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

/// <summary>Every vector operation at every width against one lane of plain C#, bit for bit.</summary>
public sealed unsafe class SimdTests
{
    public static TheoryData<SimdWidth> Widths => SimdProbe.Widths;

    private static readonly float[] Values =
    [
        0f, -0f, 1f, -1f, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 3f, 1e-45f, -1e-45f, 1e-40f, 1.17549435e-38f, 1e-10f, 3.14159f, -2.71828f,
        16777216f, 16777217f, -8388607.5f, 1e20f, 3.4028235e38f, -3.4028235e38f, float.PositiveInfinity, float.NegativeInfinity, float.NaN,
    ];

    private delegate float Reference(float a, float b, float c);

    private sealed class Function(string operation) : IVectorFunction
    {
        public V Apply<S, V>(V a, V b, V c) where S : struct, ISimd<V> where V : unmanaged => operation switch
        {
            "add" => S.Add(a, b),
            "sub" => S.Sub(a, b),
            "mul" => S.Mul(a, b),
            "div" => S.Div(a, b),
            "fma" => S.Fma(a, b, c),
            "negfma" => S.NegFma(a, b, c),
            "max" => S.Max(a, b),
            "min" => S.Min(a, b),
            "abs" => S.Abs(a),
            "sqrt" => S.Sqrt(a),
            "round" => S.Round(a),
            "less" => S.Select(S.LessThan(a, b), S.Create(1f), S.Zero),
            "equal" => S.Select(S.Equal(a, b), S.Create(1f), S.Zero),
            "select" => S.Select(S.LessThan(a, b), b, c),
            _ => throw new ArgumentException(operation),
        };
    }

    private static readonly Dictionary<string, Reference> References = new()
    {
        ["add"] = (a, b, _) => a + b,
        ["sub"] = (a, b, _) => a - b,
        ["mul"] = (a, b, _) => a * b,
        ["div"] = (a, b, _) => a / b,
        ["fma"] = MathF.FusedMultiplyAdd,
        ["negfma"] = (a, b, c) => MathF.FusedMultiplyAdd(-a, b, c),
        ["max"] = (a, b, _) => MathF.Max(a, b),
        ["min"] = (a, b, _) => MathF.Min(a, b),
        ["abs"] = (a, _, _) => MathF.Abs(a),
        ["sqrt"] = (a, _, _) => MathF.Sqrt(a),
        ["round"] = (a, _, _) => MathF.Round(a, MidpointRounding.ToEven),
        ["less"] = (a, b, _) => a < b ? 1 : 0,
        ["equal"] = (a, b, _) => a == b ? 1 : 0,
        ["select"] = (a, b, c) => a < b ? b : c,
    };

    [Theory]
    [MemberData(nameof(Widths))]
    public void Operations_AgreeWithPlainArithmetic(SimdWidth width)
    {
        var triples = (from a in Values from b in Values from c in Values select (a, b, c)).ToArray();
        float[] x = [.. triples.Select(t => t.a)], y = [.. triples.Select(t => t.b)], z = [.. triples.Select(t => t.c)];
        foreach (var (name, reference) in References)
        {
            var result = SimdProbe.Map(width, new Function(name), x, y, z);
            for (int i = 0; i < x.Length; i++)
            {
                float expected = reference(x[i], y[i], z[i]);
                Assert.True(Same(expected, result[i]), $"{name}({x[i]:r}, {y[i]:r}, {z[i]:r}) is {result[i]:r}, not {expected:r}.");
            }
        }
    }

    private static bool Same(float a, float b) => float.IsNaN(a) ? float.IsNaN(b) : BitConverter.SingleToInt32Bits(a) == BitConverter.SingleToInt32Bits(b);

    private sealed class Powers : ISimdProbe
    {
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            float* y = stackalloc float[16];
            for (int n = -126; n <= 127; n++)
            {
                S.Store(y, S.Exp2Integer(S.Create(n)));
                Assert.Equal(MathF.ScaleB(1, n), y[S.Width - 1]);
                S.Store(y, S.Scale(S.Create(1.75f), S.Create(n)));
                Assert.Equal(MathF.ScaleB(1.75f, n), y[S.Width - 1]);
            }
            S.Store(y, S.Scale(S.Create(0.75f), S.Create(128f)));
            Assert.Equal(MathF.ScaleB(0.75f, 128), y[0]);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void PowersOfTwo_AreExact(SimdWidth width) => SimdProbe.At(width, new Powers());

    private sealed class Reductions : ISimdProbe
    {
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            float* x = stackalloc float[16];
            for (int lane = 0; lane < S.Width; lane++)
            {
                for (int i = 0; i < 16; i++)
                {
                    x[i] = i == lane ? 100 : -i;
                }
                float sum = 0;
                for (int i = 0; i < S.Width; i++)
                {
                    sum += x[i];
                }
                Assert.Equal(sum, S.Sum(S.Load(x)));
                Assert.Equal(100, S.HorizontalMax(S.Load(x)));
                Assert.True(S.Any(S.Equal(S.Load(x), S.Create(100f))));
                Assert.False(S.Any(S.Equal(S.Load(x), S.Create(101f))));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Reductions_ReachEveryLane(SimdWidth width) => SimdProbe.At(width, new Reductions());

    private sealed class Widening : ISimdProbe
    {
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            ushort* bits = stackalloc ushort[16];
            byte* bytes = stackalloc byte[16];
            float* y = stackalloc float[16];
            // A pair is even elements, then odd ones; the scalar width has pairs too.
            ushort* pair = stackalloc ushort[32];
            for (int start = 0; start < 65536; start += 2 * S.Width)
            {
                for (int i = 0; i < 2 * S.Width; i++)
                {
                    // Neighbours differ in all fields, so that special values stand beside ordinary ones.
                    pair[i] = (ushort)((start + i) * 40503);
                }
                F16.LoadPair<S, V>(pair, 0, out var even, out var odd);
                S.Store(y, even);
                Each(S.Width, i => (float)BitConverter.UInt16BitsToHalf(pair[2 * i]), y);
                S.Store(y, odd);
                Each(S.Width, i => (float)BitConverter.UInt16BitsToHalf(pair[(2 * i) + 1]), y);
            }
            for (int start = 0; start < 65536; start += S.Width)
            {
                for (int i = 0; i < S.Width; i++)
                {
                    bits[i] = (ushort)(start + i);
                    bytes[i] = (byte)(start + i);
                }
                S.Store(y, Bf16.Load<S, V>(bits, 0));
                Each(S.Width, i => BitConverter.Int32BitsToSingle(bits[i] << 16), y);
                S.Store(y, F16.Load<S, V>(bits, 0));
                Each(S.Width, i => (float)BitConverter.UInt16BitsToHalf(bits[i]), y);
                S.Store(y, S.LoadU8(bytes));
                Each(S.Width, i => bytes[i], y);
            }
        }

        private static void Each(int n, Func<int, float> expected, float* y)
        {
            for (int i = 0; i < n; i++)
            {
                Assert.True(Same(expected(i), y[i]), $"lane {i}: {y[i]:r}, not {expected(i):r}.");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Widening_OfAllPatterns(SimdWidth width) => SimdProbe.At(width, new Widening());

    private sealed class Narrowing(float[] values) : ISimdProbe
    {
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            float* x = stackalloc float[16];
            ushort* bits = stackalloc ushort[17], pair = stackalloc ushort[33];
            for (int start = 0; start < values.Length; start += S.Width)
            {
                int n = Math.Min(S.Width, values.Length - start);
                values.AsSpan(start, n).CopyTo(new(x, 16));
                bits[S.Width] = 0xABCD;
                F16.Store<S, V>(bits, 0, S.Load(x));
                for (int i = 0; i < n; i++)
                {
                    ushort half = BitConverter.HalfToUInt16Bits((Half)x[i]);
                    Assert.True(float.IsNaN(x[i]) ? Half.IsNaN(BitConverter.UInt16BitsToHalf(bits[i])) : bits[i] == half, $"float16 of {x[i]:r}: {bits[i]:x4}, not {half:x4}.");
                }
                pair[2 * S.Width] = 0xABCD;
                F16.StorePair<S, V>(pair, 0, S.Load(x), S.Sub(S.Zero, S.Load(x)));
                for (int i = 0; i < n; i++)
                {
                    Assert.Equal(bits[i], pair[2 * i]);
                    Assert.True(pair[(2 * i) + 1] == (bits[i] ^ 0x8000) || x[i] == 0 || float.IsNaN(x[i]), $"float16 of {-x[i]:r}: {pair[(2 * i) + 1]:x4}.");
                }
                Bf16.Store<S, V>(bits, 0, S.Load(x));
                for (int i = 0; i < n; i++)
                {
                    ushort rounded = RoundToBf16(x[i]);
                    Assert.True(float.IsNaN(x[i]) ? float.IsNaN(BitConverter.Int32BitsToSingle(bits[i] << 16)) : bits[i] == rounded, $"bfloat16 of {x[i]:r}: {bits[i]:x4}, not {rounded:x4}.");
                }
                Assert.Equal(0xABCD, bits[S.Width]);
                Assert.Equal(0xABCD, pair[2 * S.Width]);
            }
        }

        // By exact arithmetic in float64: the nearer neighbour, the even one on a tie.
        private static ushort RoundToBf16(float x)
        {
            int below = BitConverter.SingleToInt32Bits(x) >> 16 & 0xFFFF;
            if (!float.IsFinite(x))
            {
                return (ushort)below;
            }
            double low = BitConverter.Int32BitsToSingle(below << 16);
            // The neighbour above the largest number counts as the next power of two.
            double high = (below & 0x7FFF) == 0x7F7F ? Math.CopySign(Math.ScaleB(1, 128), x) : BitConverter.Int32BitsToSingle((below + 1) << 16);
            double toLow = Math.Abs(x - low), toHigh = Math.Abs(high - x);
            return (ushort)(toLow < toHigh || (toLow == toHigh && below % 2 == 0) ? below : below + 1);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Narrowing_RoundsToNearestEven(SimdWidth width)
    {
        var values = new List<float>(Values);
        for (int pattern = 0; pattern < 65536; pattern++)
        {
            // Each representable number, the tie above it, and its two neighbours in float32.
            int bf16 = pattern << 16;
            int f16 = BitConverter.SingleToInt32Bits((float)BitConverter.UInt16BitsToHalf((ushort)pattern));
            foreach (int bits in (int[])[bf16, bf16 + 0x7FFF, bf16 + 0x8000, bf16 + 0x8001, f16, f16 + 0xFFF, f16 + 0x1000, f16 + 0x1001])
            {
                values.Add(BitConverter.Int32BitsToSingle(bits));
            }
        }
        // Ties between subnormal float16 numbers, where the spacing is fixed.
        for (int n = 0; n < 2048; n++)
        {
            values.Add((n + 0.5f) * MathF.ScaleB(1, -24));
        }
        var random = new Random(1);
        for (int n = 0; n < 1_000_000; n++)
        {
            // All patterns of float32; every other one among those that float16 does not round to 0 or infinity.
            int bits = random.Next(int.MinValue, int.MaxValue);
            values.Add(BitConverter.Int32BitsToSingle(n % 2 == 0 ? bits : (bits & unchecked((int)0x87ffffff)) | (random.Next(6, 9) << 27)));
        }
        SimdProbe.At(width, new Narrowing([.. values]));
    }

    private sealed class LowHalves : ISimdProbe
    {
        // Optimised at once: the wrong load appears in optimised code alone.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            ushort* bits = stackalloc ushort[32];
            new Span<ushort>(bits, 32).Fill(0xABCD);
            float* y = stackalloc float[16];
            S.Store(y, S.Or(S.LoadU16(bits), S.ShiftLeft(S.LoadU16(bits + 1), 17)));
            for (int i = 0; i < S.Width; i++)
            {
                Assert.Equal(0x579AABCDu, BitConverter.SingleToUInt32Bits(y[i]));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void LoadU16_LeavesUpperHalvesEmpty(SimdWidth width) => SimdProbe.At(width, new LowHalves());

    private sealed class Streaming : ISimdProbe
    {
        public void Run<S, V>() where S : struct, ISimd<V> where V : unmanaged
        {
            using var lease = Workspace.Rent(64);
            S.StoreNonTemporal(lease.Floats, S.Create(3f));
            Assert.Equal(3f, lease.Floats[S.Width - 1]);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void NonTemporalStore_Stores(SimdWidth width) => SimdProbe.At(width, new Streaming());
}
