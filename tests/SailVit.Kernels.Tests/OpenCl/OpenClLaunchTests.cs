using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

public sealed unsafe class OpenClLaunchTests
{
    [Fact]
    public void NothingButTheResult_IsWritten()
    {
        using var device = new OnOpenCl();
        const int Width = 100, Chunks = 7, Guard = 64;
        var memory = (float*)NativeMemory.AlignedAlloc((2 * Guard + Width + (Chunks * Width)) * sizeof(float), 64);
        try
        {
            var all = new Span<float>(memory, (2 * Guard) + Width + (Chunks * Width));
            all.Fill(float.NaN);
            float* result = memory + Guard, partials = memory + (2 * Guard) + Width;
            for (int i = 0; i < Chunks * Width; i++)
            {
                partials[i] = i;
            }
            OpenClSums.Run(partials, DType.Float32, Chunks, Width, result, DType.Float32, Width);
            for (int i = 0; i < Width; i++)
            {
                Assert.Equal(Enumerable.Range(0, Chunks).Sum(c => (c * Width) + i), result[i]);
            }
            for (int i = 0; i < Guard; i++)
            {
                Assert.True(float.IsNaN(memory[i]) && float.IsNaN(memory[Guard + Width + i]));
            }
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    [Fact]
    public void OverlappingOperands_AreOneBuffer()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        // Halves of one tensor, in and out: two buffers over the same memory would be undefined.
        var packed = randn(33, 2 * 70);
        using var stock = nn.functional.silu(packed[TensorIndex.Ellipsis, ..70]) * packed[TensorIndex.Ellipsis, 70..];
        Assert.True(functional.swiglu(packed).allclose(stock, atol: 1e-6));
    }

    [Fact]
    public void ThreadsAtOnce_DoNotMixTheirArguments()
    {
        using var scope = NewDisposeScope();
        using (new OnOpenCl())
        {
        }
        var inputs = Enumerable.Range(0, 8).Select(i => (randn(64, 96) + i).DetachFromDisposeScope()).ToList();
        var expected = inputs.ConvertAll(x => functional.silu(x).DetachFromDisposeScope());
        Parallel.For(0, 200, i =>
        {
            using var device = new OnOpenCl();
            using var y = functional.silu(inputs[i % 8]);
            using var d = (y - expected[i % 8]).abs().max();
            Assert.True(d.item<float>() < 1e-5f);
        });
        inputs.ForEach(t => t.Dispose());
        expected.ForEach(t => t.Dispose());
    }

    [Fact]
    public void KernelThatTheDriverRefuses_ShowsItsLog_AndLeavesTheDeviceUsable()
    {
        using var device = new OnOpenCl();
        var kernel = new PortableKernel(Refused, 1);
        for (int i = 0; i < 2; i++)
        {
            var e = Assert.Throws<OpenClException>(() => OpenClQueue.Of(OpenClDevices.Current).Program(kernel));
            Assert.Contains("CL_BUILD_PROGRAM_FAILURE", e.Message, StringComparison.Ordinal);
            Assert.Contains(nameof(NoSuchFunction), e.Message, StringComparison.Ordinal);
        }
        using var scope = NewDisposeScope();
        Assert.Equal([3, 5], functional.gelu(randn(3, 5)).shape);
    }

    private static void Refused(ILGPU.ArrayView<float> x, SumScalars s) => x[0] = NoSuchFunction(x[0]);

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.InternalCall)]
    private static extern float NoSuchFunction(float x);

    [Fact]
    public void DamagedCacheFile_IsCompiledAnew()
    {
        using var device = new OnOpenCl();
        var kernel = SumPortable<PortableF32, PortableF32, OneLane>.Kernel;
        _ = OpenClQueue.Of(OpenClDevices.Current).Program(kernel);
        var cache = OpenClCache.For(kernel, OpenClDevices.Current);
        if (cache.Read() is not { } entry)
        {
            Assert.Skip("The cache folder cannot be written here.");
            return;
        }
        // A driver may crash on half a binary (PoCL 3.1 does), so that what is read must be whole.
        foreach (var damage in (Action<FileStream>[])[f => f.SetLength(f.Length / 2), f => f.SetLength(3), f => { f.Position = f.Length / 2; f.WriteByte(0x5a); f.WriteByte(0xa5); }])
        {
            using (var file = File.OpenWrite(cache.FilePath!))
            {
                damage(file);
            }
            Assert.Null(cache.Read());
            Assert.NotEqual(0, OpenClQueue.Fresh(OpenClDevices.Current).Program(kernel).Kernel);
            Assert.Equal(entry.Name, cache.Read()!.Value.Name);
        }
    }

    [Fact]
    public void TenThousandLaunches_HoldNoMemory()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        var x = randn(16, 64);
        void Launch(int times)
        {
            for (int i = 0; i < times; i++)
            {
                functional.silu(x).Dispose();
            }
        }
        Launch(1000);
        long before = Environment.WorkingSet;
        Launch(10_000);
        Assert.InRange(Environment.WorkingSet - before, long.MinValue, 32 << 20);
    }
}
