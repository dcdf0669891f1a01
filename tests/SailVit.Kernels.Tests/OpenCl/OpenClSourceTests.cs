using System.Text.RegularExpressions;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Ops.Attention;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Ops.Norm;
using Xunit;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>What ILGPU writes, and what is made of it; needs no device.</summary>
public sealed class OpenClSourceTests
{
    private static string Source(PortableKernel kernel) => OpenClSource.Correct(KernelCompiler.ToOpenCl(kernel).Source, kernel);

    [Fact]
    public void Barriers_FenceLocalMemory()
    {
        var source = Source(NormPortableForward<PortableF32, PortableF32, Centered, No, ManyLanes>.Kernel);
        Assert.DoesNotContain("work_group_barrier", source, StringComparison.Ordinal);
        Assert.Contains("barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)", source, StringComparison.Ordinal);
    }

    [Fact]
    public void OneLane_HasNoBarrierAndNoLocalMemory()
    {
        var source = Source(NormPortableForward<PortableF32, PortableF32, Centered, No, OneLane>.Kernel);
        Assert.DoesNotContain("barrier", source, StringComparison.Ordinal);
        Assert.DoesNotContain("local float", source, StringComparison.Ordinal);
    }

    [Fact]
    public void NothingIsAskedOfADevice_ThatItMayLack()
    {
        PortableKernel[] kernels =
        [
            NormPortableForward<PortableF16, PortableF32, Centered, Yes, ManyLanes>.Kernel,
            NormPortableBackward<PortableBf16, PortableF32, RootMeanSquare, Yes, ManyLanes>.Kernel,
            SumPortable<PortableF32, PortableF16, ManyLanes>.Kernel,
            AttentionPortableForward<PortableF16, BiasMask<PortableF16>, RowTile, StripLanes>.Kernel,
            AttentionPortableKeys<NoMask, RowPair<RowTile>, OneLane>.Kernel,
            LinearPortable<PortableF16, GeluErfPortable, RowPair<RowTile>, ManyLanes>.Kernel,
            LinearSwiGluPortable<PortableBf16, RowTile, OneLane>.Kernel,
        ];
        foreach (var source in kernels.Select(Source))
        {
            Assert.DoesNotContain("double", source, StringComparison.Ordinal);
            Assert.DoesNotContain("half", source, StringComparison.Ordinal);
            Assert.DoesNotContain("#pragma OPENCL EXTENSION", source, StringComparison.Ordinal);
            Assert.DoesNotContain("__generic", source, StringComparison.Ordinal);
        }
    }

    // A loop with a barrier takes PoCL ten seconds to compile.
    [Fact]
    public void Attention_WaitsForNobodyInItsLoops_AndComputesInVectors()
    {
        PortableKernel[] kernels =
        [
            AttentionPortableForward<PortableF32, NoMask, RowTile, StripLanes>.Kernel,
            AttentionPortableQueries<BooleanMask, RowTile, StripLanes>.Kernel,
            AttentionPortableKeys<NoMask, RowTile, StripLanes>.Kernel,
        ];
        foreach (var source in kernels.Select(Source))
        {
            Assert.DoesNotContain("barrier", source, StringComparison.Ordinal);
            Assert.Contains("float16 var", source, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Tile_IsVectorsInRegisters()
    {
        var source = Source(LinearPortable<PortableF32, Identity, RowPair<RowTile>, OneLane>.Kernel);
        // Two rows by two vectors.
        Assert.Equal(4, Regex.Count(source, @"\w+\s*=\s*Fma"));
        Assert.Contains("global float16", source, StringComparison.Ordinal);
        Assert.DoesNotContain("barrier", source, StringComparison.Ordinal);
        Assert.DoesNotContain("local float", source, StringComparison.Ordinal);
    }

    [Fact]
    public void GroupSize_IsKnownToTheCompiler()
    {
        Assert.Contains("kernel __attribute__((reqd_work_group_size(1, 1, 1))) void", Source(NormPortableForward<PortableF32, PortableF32, Centered, No, OneLane>.Kernel), StringComparison.Ordinal);
        Assert.Contains("kernel __attribute__((reqd_work_group_size(128, 1, 1))) void", Source(NormPortableForward<PortableF32, PortableF32, Centered, No, ManyLanes>.Kernel), StringComparison.Ordinal);
    }

    [Fact]
    public void Sums_AreReorderedOnlyWhereAsked()
    {
        Assert.Contains("#pragma clang fp reassociate(on)", Source(NormPortableForward<PortableF32, PortableF32, Centered, No, OneLane>.Kernel), StringComparison.Ordinal);
        Assert.DoesNotContain("#pragma clang", Source(SumPortable<PortableF32, PortableF32, OneLane>.Kernel), StringComparison.Ordinal);
    }
}
