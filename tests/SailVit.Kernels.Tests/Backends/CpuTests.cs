using SailVit.Kernels.Backends.Cpu;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

public sealed class CpuTests
{
    [Fact]
    public void Widths_AreDescendingAndEndWithScalar()
    {
        Assert.Equal(Cpu.Widest, Cpu.Available[0]);
        Assert.Equal(SimdWidth.Scalar, Cpu.Available[^1]);
        Assert.Equal(Cpu.Available.OrderDescending(), Cpu.Available);
    }

    [Fact]
    public void Use_EndsWithItsScopeAndNests()
    {
        var before = Cpu.Width;
        using (Cpu.Use(SimdWidth.Scalar))
        {
            Assert.Equal(SimdWidth.Scalar, Cpu.Width);
            using (Cpu.Use(Cpu.Widest))
            {
                Assert.Equal(Cpu.Widest, Cpu.Width);
            }
            Assert.Equal(SimdWidth.Scalar, Cpu.Width);
        }
        Assert.Equal(before, Cpu.Width);
    }

    [Fact]
    public void Use_HoldsForItsThreadOnly()
    {
        var before = Cpu.Width;
        using (Cpu.Use(SimdWidth.Scalar))
        {
            SimdWidth other = default;
            var thread = new Thread(() => other = Cpu.Width);
            thread.Start();
            thread.Join();
            Assert.Equal(before, other);
        }
    }

    [Fact]
    public void Use_RefusesWhatIsNoWidth()
    {
        var before = Cpu.Width;
        Assert.Contains("this processor offers", Assert.Throws<PlatformNotSupportedException>(() => Cpu.Use((SimdWidth)5)).Message, StringComparison.Ordinal);
        Assert.Equal(before, Cpu.Width);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("auto")]
    [InlineData("AUTO")]
    public void Parse_DefaultsToTheWidest(string? text) => Assert.Equal(Cpu.Widest, Cpu.Parse(text));

    [Theory]
    [InlineData("512", SimdWidth.V512)]
    [InlineData("256", SimdWidth.V256)]
    [InlineData("128", SimdWidth.V128)]
    [InlineData("Scalar", SimdWidth.Scalar)]
    public void Parse_ReadsAWidthOrSaysThatItIsMissing(string text, SimdWidth width)
    {
        if (Cpu.Available.Contains(width))
        {
            Assert.Equal(width, Cpu.Parse(text));
        }
        else
        {
            Assert.Contains($"{Cpu.WidthVariable}={text}", Assert.Throws<PlatformNotSupportedException>(() => Cpu.Parse(text)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("1024")]
    [InlineData("avx2")]
    public void Parse_RefusesAnythingElse(string text) =>
        Assert.Contains("use 512, 256, 128, scalar or auto", Assert.Throws<PlatformNotSupportedException>(() => Cpu.Parse(text)).Message, StringComparison.Ordinal);
}
