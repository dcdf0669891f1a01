using SailVit.Testing;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Testing;

/// <summary>Tests that measure the whole process: none runs beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class Alone
{
    public const string Name = "alone";
}

[Collection(Alone.Name)]
public sealed class PeakMemoryTests
{
    [Fact]
    public void SeesAPassingAllocation()
    {
        const long Bytes = 256L << 20;
        var peak = PeakMemory.Of(() => ones(Bytes / 4).Dispose());
        Assert.SkipWhen(peak is null, "This system cannot reset its high-water mark.");
        Assert.InRange(peak!.Value, Bytes * 9 / 10, Bytes * 3 / 2);
        Assert.InRange(PeakMemory.Of(() => ones(1024).Dispose())!.Value, -Bytes, Bytes / 4);
    }
}
