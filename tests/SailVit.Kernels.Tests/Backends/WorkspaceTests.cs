using SailVit.Kernels.Backends.Cpu;
using Xunit;

namespace SailVit.Kernels.Tests.Backends;

public sealed unsafe class WorkspaceTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(1000)]
    [InlineData(10_000_000)]
    public void Memory_IsAlignedAndWritable(long bytes)
    {
        using var lease = Workspace.Rent(bytes);
        Assert.Equal(0, (nint)lease.Pointer % 64);
        new Span<byte>(lease.Pointer, (int)bytes).Fill(7);
    }

    [Fact]
    public void NestedLeases_DoNotOverlap()
    {
        using var outer = Workspace.Rent(256);
        var first = new Span<byte>(outer.Pointer, 256);
        first.Fill(1);
        using (var inner = Workspace.Rent(256))
        {
            new Span<byte>(inner.Pointer, 256).Fill(2);
            // Growth of an inner slot leaves outer ones where they are.
            using var third = Workspace.Rent(1 << 20);
            new Span<byte>(third.Pointer, 1 << 20).Fill(3);
        }
        Assert.Equal(-1, first.IndexOfAnyExcept((byte)1));
    }

    [Fact]
    public void Memory_StaysWarm()
    {
        nint first, second, smaller;
        using (var lease = Workspace.Rent(4096))
        {
            first = (nint)lease.Pointer;
        }
        using (var lease = Workspace.Rent(4096))
        {
            second = (nint)lease.Pointer;
        }
        using (var lease = Workspace.Rent(16))
        {
            smaller = (nint)lease.Pointer;
        }
        Assert.Equal(first, second);
        Assert.Equal(first, smaller);
    }

    [Fact]
    public void AFailure_ReturnsTheLease()
    {
        nint outside, inside = 0;
        using (var lease = Workspace.Rent(128))
        {
            outside = (nint)lease.Pointer;
        }
        void Fail()
        {
            using var lease = Workspace.Rent(128);
            inside = (nint)lease.Pointer;
            throw new InvalidOperationException();
        }
        Assert.Throws<InvalidOperationException>(Fail);
        using var after = Workspace.Rent(128);
        Assert.Equal(outside, inside);
        Assert.Equal(outside, (nint)after.Pointer);
    }

    [Fact]
    public void Threads_HaveTheirOwn()
    {
        using var mine = Workspace.Rent(128);
        nint other = 0;
        var thread = new Thread(() =>
        {
            using var lease = Workspace.Rent(128);
            other = (nint)lease.Pointer;
        });
        thread.Start();
        thread.Join();
        Assert.NotEqual((nint)mine.Pointer, other);
    }
}
