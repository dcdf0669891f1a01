using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>What the view says must be what TorchSharp says.</summary>
public sealed class TensorViewTests
{
    public static TheoryData<string> Layouts =>
    [
        "contiguous", "rank 0", "rank 1", "transposed", "offset", "strided columns", "strided rows", "expanded rows", "expanded batch",
        "size-1 dimensions with absurd strides", "empty rows", "empty columns", "permuted batch", "gapped batch", "width 1", "flipped",
    ];

    private static Tensor Make(string layout) => layout switch
    {
        "contiguous" => randn(2, 3, 4),
        "rank 0" => tensor(5f),
        "rank 1" => randn(7),
        "transposed" => randn(3, 4).t(),
        "offset" => randn(30).slice(0, 5, 29, 1).view(4, 6),
        "strided columns" => randn(4, 12).slice(1, 0, 12, 2),
        "strided rows" => randn(8, 5).slice(0, 0, 8, 2),
        "expanded rows" => randn(5).expand(3, 5),
        "expanded batch" => randn(1, 3, 5).expand(2, 3, 5),
        "size-1 dimensions with absurd strides" => randn(200).as_strided([1, 3, 1, 5], [99, 5, 77, 1]),
        "empty rows" => empty(0, 4),
        "empty columns" => empty(4, 0),
        "permuted batch" => randn(2, 3, 4).permute(1, 0, 2),
        "gapped batch" => randn(2, 6, 4).slice(1, 0, 3, 1),
        "width 1" => randn(6, 4).slice(1, 1, 2, 1),
        _ => randn(3, 4).flip(1),
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public unsafe void SizesStridesAndContiguity_AgreeWithTorch(string layout)
    {
        using var scope = NewDisposeScope();
        var x = Make(layout);
        var view = new TensorView(x);
        Assert.Equal(x.shape, view.Sizes.ToArray());
        Assert.Equal(x.stride(), view.Strides.ToArray());
        Assert.Equal(x.numel(), view.Length);
        Assert.Equal(x.dim(), view.Rank);
        Assert.Equal(x.is_contiguous(), view.IsContiguous);
        Assert.Equal(DType.Float32, view.DType);
        if (x.numel() > 0)
        {
            Assert.Equal(x.flatten()[0].item<float>(), *(float*)view.Data);
        }
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public unsafe void Rows_ReachEveryElementOrAreRefused(string layout)
    {
        using var scope = NewDisposeScope();
        var x = Make(layout);
        var view = new TensorView(x);
        bool can = view.TryRows(out long rows, out long width, out long rowStride);
        Assert.Equal(layout is not ("transposed" or "strided columns" or "expanded batch" or "permuted batch" or "gapped batch"), can);
        if (!can)
        {
            return;
        }
        Assert.Equal(view.Rank == 0 ? 1 : x.shape[^1], width);
        var expected = x.numel() == 0 ? [] : x.contiguous().data<float>().ToArray();
        var read = new List<float>();
        for (long row = 0; row < rows; row++)
        {
            for (long column = 0; column < width; column++)
            {
                read.Add(((float*)view.Data)[row * rowStride + column]);
            }
        }
        Assert.Equal(expected, read);
    }

    [Theory]
    [InlineData(ScalarType.Float16)]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.Float64)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Byte)]
    [InlineData(ScalarType.Int8)]
    [InlineData(ScalarType.Int16)]
    [InlineData(ScalarType.Int32)]
    [InlineData(ScalarType.Int64)]
    [InlineData(ScalarType.Bool)]
    [InlineData(ScalarType.ComplexFloat32)]
    public void DType_IsTorchs(ScalarType type)
    {
        using var x = zeros(2, dtype: type);
        Assert.Equal((int)type, (int)new TensorView(x).DType);
        Assert.True(Enum.IsDefined(new TensorView(x).DType));
    }

    [Fact]
    public void ATensorWithoutStorage_IsRefused()
    {
        using var scope = NewDisposeScope();
        var sparse = eye(3).to_sparse();
        Assert.Contains("to_dense", Assert.Throws<ArgumentException>(() => new TensorView(sparse)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_NamesShapeDTypeAndDevice()
    {
        using var x = zeros(2, 3, dtype: bfloat16);
        Assert.Equal("[2, 3] BFloat16 on cpu", new TensorView(x).ToString());
    }

    [Theory]
    [InlineData]
    [InlineData(4L)]
    [InlineData(2L, 0L, 3L)]
    [InlineData(2L, 3L, 4L)]
    public void Allocated_TensorsAreRowMajorAndTorchs(params long[] shape)
    {
        using var scope = NewDisposeScope();
        foreach (var type in new[] { DType.Float32, DType.BFloat16, DType.Int64 })
        {
            var x = Allocate.Empty(shape, type);
            Assert.Equal(shape, x.shape);
            Assert.Equal((int)type, (int)x.dtype);
            Assert.True(x.is_contiguous());
            Assert.Equal(empty(shape).stride(), x.stride());
            x.fill_(3);
            Assert.Equal(3.0 * x.numel(), x.sum().to(float64).item<double>());
        }
    }

    [Fact]
    public void AnImpossibleAllocation_IsAnException()
    {
        var e = Assert.Throws<InsufficientMemoryException>(() => Allocate.Empty([1L << 40, 1L << 20], DType.Float32));
        Assert.Contains("1099511627776, 1048576", e.Message, StringComparison.Ordinal);
    }
}
