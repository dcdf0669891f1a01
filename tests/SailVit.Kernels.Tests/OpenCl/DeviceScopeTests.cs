using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>Results that stay on the device, with any device taken for one that has memory of its own.</summary>
public sealed class DeviceScopeTests : IDisposable
{
    private const long Rows = 33, Width = 70, Bytes = Rows * Width * sizeof(float);

    private readonly OnOpenCl _onOpenCl = new();
    private readonly IDisposable _separate = DeviceScope.ForceSeparateMemory();
    private readonly DisposeScope _tensors = NewDisposeScope();
    private readonly Tensor _x, _residual, _gamma;

    public DeviceScopeTests()
    {
        using var g = new Generator(1);
        (_x, _residual, _gamma) = (randn([Rows, Width], generator: g), randn([Rows, Width], generator: g), randn([Width], generator: g));
    }

    public void Dispose()
    {
        _tensors.Dispose();
        _separate.Dispose();
        _onOpenCl.Dispose();
    }

    [Fact]
    public void Chain_CrossesOnlyItsInputs_AndWhatIsAskedFor()
    {
        using var noGrad = no_grad();
        var expected = Chain();
        using var scope = new DeviceScope([_gamma]);
        var result = Chain();
        Assert.Equal((2 * Bytes) + (Width * sizeof(float)), scope.UploadedBytes);
        Assert.Equal(0, scope.DownloadedBytes);
        scope.Download(result);
        Assert.Equal(Bytes, scope.DownloadedBytes);
        Assert.Null(Bits.FirstDifference(expected, result));
    }

    [Fact]
    public void Constants_AreUploadedOnce_AndAgainWhenChanged()
    {
        using var noGrad = no_grad();
        using var scope = new DeviceScope([_x, _residual, _gamma]);
        _ = Chain();
        long uploaded = scope.UploadedBytes;
        _ = Chain();
        Assert.Equal(uploaded, scope.UploadedBytes);
        _gamma.mul_(_gamma);
        var result = Chain();
        Assert.Equal(uploaded + (Width * sizeof(float)), scope.UploadedBytes);
        scope.Download(result);
        scope.Dispose();
        Assert.Null(Bits.FirstDifference(Chain(), result));
    }

    [Fact]
    public void End_BringsEverythingBack()
    {
        using var noGrad = no_grad();
        Tensor y, z;
        using (new DeviceScope())
        {
            y = functional.gelu(_x);
            z = functional.silu(y);
        }
        Assert.Null(Bits.FirstDifference(functional.gelu(_x), y));
        Assert.Null(Bits.FirstDifference(functional.silu(y), z));
    }

    [Fact]
    public void Gradients_AreThoseOfSingleOps()
    {
        var expected = Gradients();
        Tensor[] result;
        using (new DeviceScope())
        {
            result = Gradients();
        }
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Null(Bits.FirstDifference(expected[i], result[i]));
        }
    }

    [Fact]
    public void ViewOfAResult_IsTakenFromIt()
    {
        using var noGrad = no_grad();
        var expected = functional.silu(functional.gelu(_x).narrow(0, 3, 7));
        using var scope = new DeviceScope();
        var part = functional.silu(functional.gelu(_x).narrow(0, 3, 7));
        scope.Download(part);
        Assert.Null(Bits.FirstDifference(expected, part));
    }

    [Fact]
    public void Trim_ForgetsWhatCameSince()
    {
        using var noGrad = no_grad();
        using var scope = new DeviceScope();
        var before = functional.gelu(_x);
        long mark = DeviceScope.Mark;
        var dropped = functional.silu(_x);
        var kept = functional.silu(before);
        DeviceScope.Trim(mark, kept.view(-1));
        scope.Download(before, dropped, kept);
        Assert.Equal(2 * Bytes, scope.DownloadedBytes);
    }

    [Fact]
    public void Trim_WhereGradientsAreRecorded_IsRefused()
    {
        using var scope = new DeviceScope();
        Assert.Throws<InvalidOperationException>(() => DeviceScope.Trim(0));
    }

    [Fact]
    public void ChangeOnTheHost_OfWhatIsNewerOnTheDevice_IsRefused()
    {
        using var noGrad = no_grad();
        using var scope = new DeviceScope();
        var y = functional.gelu(_x);
        y.zero_();
        var error = Assert.Throws<InvalidOperationException>(() => functional.silu(y));
        Assert.Contains("Download", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OpOnTheProcessor_OfWhatIsNewerOnTheDevice_IsRefused()
    {
        using var noGrad = no_grad();
        using var scope = new DeviceScope();
        var y = functional.gelu(_x);
        using var cpu = Dispatcher.Use(BackendKind.Cpu);
        Assert.Throws<InvalidOperationException>(() => functional.silu(y));
        scope.Download(y);
        functional.silu(y).Dispose();
    }

    [Fact]
    public void ConstantWithGaps_IsRefused()
    {
        var error = Assert.Throws<ArgumentException>(() => new DeviceScope([_x.t()]));
        Assert.Contains("contiguous", error.Message, StringComparison.Ordinal);
        functional.gelu(_x).Dispose();
    }

    [Fact]
    public void Scopes_LeaveNoTensors()
    {
        using var noGrad = no_grad();
        using (new DeviceScope([_gamma]))
        {
            Chain().Dispose();
        }
        long before = Tensor.TotalCount;
        for (int i = 0; i < 20; i++)
        {
            using var inner = NewDisposeScope();
            using var scope = new DeviceScope([_gamma]);
            Chain();
        }
        Assert.Equal(before, Tensor.TotalCount);
    }

    private Tensor Chain()
    {
        var (y, sum) = functional.add_rms_norm(_x, _residual, [Width], _gamma);
        return functional.layer_norm(functional.swiglu(functional.gelu(y), sum), [Width], _gamma, _gamma);
    }

    private Tensor[] Gradients()
    {
        Tensor[] leaves = [_x.detach().requires_grad_(), _residual.detach().requires_grad_(), _gamma.detach().requires_grad_()];
        var (y, sum) = functional.add_rms_norm(leaves[0], leaves[1], [Width], leaves[2]);
        functional.swiglu(functional.gelu(y), sum).backward([_x]);
        return Array.ConvertAll(leaves, leaf => leaf.grad!);
    }
}
