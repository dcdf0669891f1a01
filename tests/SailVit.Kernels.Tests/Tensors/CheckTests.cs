using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Tensors;

/// <summary>Messages say what it is, what it must be and what to do.</summary>
public sealed class CheckTests
{
    [Fact]
    public void Null_NamesTheArgument()
    {
        Tensor? query = null;
        Assert.Equal(nameof(query), Assert.Throws<ArgumentNullException>(() => Check.View(query)).ParamName);
    }

    [Fact]
    public void ADisposedTensor_NamesTheArgument()
    {
        var query = zeros(1);
        query.Dispose();
        var e = Assert.Throws<ObjectDisposedException>(() => Check.View(query));
        Assert.Contains("query has been disposed", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnotherDType_IsNamedWithTheRightOnes()
    {
        using var query = zeros(1, dtype: float64);
        Fails("query has dtype Float64; it must be Float32, BFloat16 or Float16. Convert it with .to(dtype).", () => Check.Float(query));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void FloatingTypes_Pass(ScalarType type)
    {
        using var query = zeros(2, 3, dtype: type);
        Assert.Equal(6, Check.Float(query).Length);
    }

    [Fact]
    public void ATensorOnAnotherDevice_IsRefused()
    {
        using var query = empty(3, device: META);
        Fails("query", () => Check.View(query));
    }

    [Fact]
    public void SparseTensor_IsCalledByItsName()
    {
        using var dense = eye(3);
        using var weight = dense.to_sparse();
        Fails("weight is not a dense strided tensor", () => Check.View(weight));
    }

    [Fact]
    public void Shapes_ShowBothSides()
    {
        using var weight = zeros(2, 3);
        using var other = zeros(2, 3, dtype: float16);
        Fails("weight has shape [2, 3]; it must be [3, 2].", () => Check.Shape(new TensorView(weight), [3, 2], nameof(weight)));
        Fails("weight has shape [2, 3]; it must have 3 dimensions, [B, N, C].", () => Check.Rank(new TensorView(weight), 3, nameof(weight), "[B, N, C]"));
        Fails("weight has shape [2, 3]; it must have at least 3 dimensions, [..., N, C].", () => Check.MinRank(new TensorView(weight), 3, nameof(weight), "[..., N, C]"));
        Fails("weight has dtype Float32, but input has Float16", () => Check.SameDType(new TensorView(weight), new TensorView(other), nameof(weight), "input"));
        Check.Shape(new TensorView(weight), [2, 3], nameof(weight));
        Check.Rank(new TensorView(weight), 2, nameof(weight), "");
        Check.MinRank(new TensorView(weight), 1, nameof(weight), "");
        Check.SameDType(new TensorView(weight), new TensorView(weight), nameof(weight), "input");
    }

    private static void Fails(string message, Action check)
    {
        var e = Assert.ThrowsAny<ArgumentException>(check);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }
}
