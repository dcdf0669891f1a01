using SailVit.Kernels.Backends.Cpu;
using TorchSharp;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

public sealed unsafe class CpuBackendTests
{
    /// <summary>Counts visits of each item, notes the widest range, and fails at one item if told to.</summary>
    private readonly struct Visit(int* visits, int* lanes, long* smallest, long failAt, long count) : ICpuKernel
    {
        public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            *lanes = S.Width;
            // The last range may be a remainder.
            if (end < count)
            {
                long seen;
                while ((seen = Volatile.Read(ref *smallest)) > end - begin && Interlocked.CompareExchange(ref *smallest, end - begin, seen) != seen)
                {
                }
            }
            for (long i = begin; i < end; i++)
            {
                Interlocked.Increment(ref visits[i]);
            }
            if (begin <= failAt && failAt < end)
            {
                throw new InvalidOperationException("planted");
            }
        }
    }

    private static (int[] Visits, int Lanes, long Smallest) Run(int count, long grain, long failAt = -1)
    {
        var visits = new int[Math.Max(count, 1)];
        int lanes = 0;
        long smallest = long.MaxValue;
        fixed (int* p = visits)
        {
            CpuBackend.Run(new Visit(p, &lanes, &smallest, failAt, count), count, grain);
        }
        return (visits, lanes, smallest);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 1)]
    [InlineData(7, 100)]
    [InlineData(1000, 1)]
    [InlineData(1000, 64)]
    [InlineData(1000, 999)]
    [InlineData(1000, 0)]
    public void EveryItem_IsVisitedOnce(int count, long grain)
    {
        var (visits, _, smallest) = Run(count, grain);
        Assert.All(visits, v => Assert.Equal(1, v));
        long mostRanges = (count + Math.Max(grain, 1) - 1) / Math.Max(grain, 1);
        Assert.InRange(smallest, count / mostRanges, long.MaxValue);
    }

    [Fact]
    public void NoItems_RunNothing() => Assert.Equal(0, Run(0, 1).Lanes);

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    public void EveryWidth_ReachesTheKernelOnEveryThread(int count)
    {
        foreach (var width in Cpu.Available)
        {
            using var forced = Cpu.Use(width);
            Assert.Equal((int)width, Run(count, 1).Lanes);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(500)]
    [InlineData(999)]
    public void AFailureInARange_IsThrownAfterAllRangesHaveEnded(int failAt)
    {
        var visits = new int[1000];
        fixed (int* p = visits)
        {
            int lanes = 0;
            long smallest = 0;
            var kernel = new Visit(p, &lanes, &smallest, failAt, visits.Length);
            var e = Record.Exception(() => CpuBackend.Run(kernel, 1000, 1));
            Assert.Equal("planted", Assert.IsType<InvalidOperationException>(e).Message);
        }
        Assert.All(visits, v => Assert.Equal(1, v));
    }

    [Fact]
    public void AFailureOnOneThreadOfTheCaller_LeavesThePoolUsable()
    {
        for (int i = 0; i < 50; i++)
        {
            Assert.Throws<InvalidOperationException>(() => Run(1000, 1, failAt: i));
        }
        Assert.All(Run(1000, 1).Visits, v => Assert.Equal(1, v));
    }

    [Fact]
    public void Threads_AreLibtorchs() => Assert.Equal(torch.get_num_threads(), CpuBackend.Threads);
}
