using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Bench.Measuring;

/// <summary>What the machine can do at most, measured: the yardstick of <c>fraction_of_limit</c>.</summary>
/// <param name="FlopsPerSecond">float32 multiply-adds in registers on all threads, two operations each.</param>
/// <param name="BytesPerSecond">Copy of a buffer far larger than the caches on all threads, bytes read plus written.</param>
public sealed record Limits(double FlopsPerSecond, double BytesPerSecond)
{
    private const int Rounds = 7;

    /// <summary>Measures both, about half a second.</summary>
    public static Limits Measure() => new(MeasureFlops(), MeasureCopy());

    /// <summary>Seconds that <paramref name="work"/> takes at the limit. Data that stays in a cache can beat it.</summary>
    public double Seconds(Work work) => Math.Max(work.Flops / FlopsPerSecond, work.Bytes / BytesPerSecond);

    /// <summary>The higher of each.</summary>
    public Limits Best(Limits other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new(Math.Max(FlopsPerSecond, other.FlopsPerSecond), Math.Max(BytesPerSecond, other.BytesPerSecond));
    }

    /// <inheritdoc/>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{FlopsPerSecond / 1e9:f0} GFLOP/s float32 multiply-add, {BytesPerSecond / 1e9:f1} GB/s copy");

    private static double MeasureFlops()
    {
        const long Iterations = 4_000_000;
        int threads = CpuBackend.Threads;
        double best = Best(() => CpuBackend.Run(new FmaLoop { Iterations = Iterations }, threads, 1));
        return 2.0 * FmaLoop.Chains * (int)Cpu.Width * Iterations * threads / best;
    }

    private static unsafe double MeasureCopy()
    {
        const long Bytes = 256L << 20;
        var source = (byte*)NativeMemory.AlignedAlloc((nuint)Bytes, 64);
        var target = (byte*)NativeMemory.AlignedAlloc((nuint)Bytes, 64);
        try
        {
            NativeMemory.Clear(source, (nuint)Bytes);
            NativeMemory.Clear(target, (nuint)Bytes);
            double best = Best(() => CpuBackend.Run(new Copy { Source = source, Target = target }, Bytes, Bytes / CpuBackend.Threads));
            return 2.0 * Bytes / best;
        }
        finally
        {
            NativeMemory.AlignedFree(source);
            NativeMemory.AlignedFree(target);
        }
    }

    private static double Best(Action work)
    {
        work();
        double best = double.PositiveInfinity;
        for (int i = 0; i < Rounds; i++)
        {
            long start = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }

    /// <summary>Twelve independent chains: two units of latency four need eight in flight.</summary>
    private struct FmaLoop : ICpuKernel
    {
        public const int Chains = 12;

        public long Iterations;

        // Written so that the loop cannot be dropped.
        private static float _sink;

        public readonly void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            for (long item = begin; item < end; item++)
            {
                Loop<S, V>(Iterations);
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Loop<S, V>(long iterations) where S : struct, ISimd<V> where V : unmanaged
        {
            V x = S.Create(0.5f), y = S.Create(1f);
            V a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
            for (long n = 0; n < iterations; n++)
            {
                a = S.Fma(a, x, y);
                b = S.Fma(b, x, y);
                c = S.Fma(c, x, y);
                d = S.Fma(d, x, y);
                e = S.Fma(e, x, y);
                f = S.Fma(f, x, y);
                g = S.Fma(g, x, y);
                h = S.Fma(h, x, y);
                i = S.Fma(i, x, y);
                j = S.Fma(j, x, y);
                k = S.Fma(k, x, y);
                l = S.Fma(l, x, y);
            }
            var sum = S.Add(S.Add(S.Add(a, b), S.Add(c, d)), S.Add(S.Add(e, f), S.Add(g, h)));
            _sink = S.Sum(S.Add(sum, S.Add(S.Add(i, j), S.Add(k, l))));
        }
    }

    private unsafe struct Copy : ICpuKernel
    {
        public byte* Source;
        public byte* Target;

        public readonly void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged =>
            Buffer.MemoryCopy(Source + begin, Target + begin, end - begin, end - begin);
    }
}
