using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Backends;

/// <summary>The matrix product by itself, into guarded memory that holds NaN.</summary>
public sealed unsafe class GemmTests
{
    private static readonly long[] Sizes = [1, 3, 5, 17, 63, 64, 65, 127, 1020];

    public static TheoryData<SimdWidth> Widths => [.. Cpu.Available];

    [Theory]
    [MemberData(nameof(Widths))]
    public void EveryElementIsWritten_AndNothingElse(SimdWidth width)
    {
        using var forced = Cpu.Use(width);
        foreach (long rows in Sizes[..^1])
        {
            foreach (long columns in Sizes[..^1])
            {
                Check(rows, depth: 37, columns);
            }
        }
        Check(5, 1020, 65);
        Check(1020, 5, 17);
        Check(7, 3, 1020);
    }

    [Fact]
    public void NoProducts_GiveZeros()
    {
        using var scope = NewDisposeScope();
        using var canary = new Canary(3 * 70, float32);
        Gemm.Run(new LeftRows(new(null, DType.Float32, 3, 0, 0, 1)), 3, RightOperand.Of(new(null, DType.Float32, 0, 70, 70, 1)), new StoreEpilogue<F32>(canary.Pointer, 70));
        canary.Check("K = 0");
        Assert.Equal(0f, canary.ToTensor(3, 70).abs().max().item<float>());
    }

    [Fact]
    public void PackedBefore_AndPackedInGroups_GiveTheSameBits()
    {
        using var scope = NewDisposeScope();
        // 4,000 × 900 floats are more than the 8 MB that are packed at a time; the last group is narrow.
        long depth = 4000, columns = 899;
        var x = randn(9, depth);
        var w = randn(columns, depth);
        using var left = new TensorMatrix(x);
        using var right = new TensorMatrix(w);
        Tensor together = empty(9, columns), grouped = empty(9, columns);
        using var lease = Workspace.Rent(PackedMatrix.FloatsOf(depth, columns) * sizeof(float));
        var packed = new PackedMatrix(lease.Floats, depth, columns);
        RightOperand.Transposed(right.View).Pack(0, packed);
        Gemm.Run(new LeftRows(left.View), 9, packed, new StoreEpilogue<F32>(new TensorView(together).Data, columns));
        Gemm.Run(new LeftRows(left.View), 9, RightOperand.Transposed(right.View), new StoreEpilogue<F32>(new TensorView(grouped).Data, columns));
        Assert.True(Bits.Same(together, grouped));
        WithinRounding("groups", grouped, x.to(float64), w.to(float64).t());
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void TransposesOfBothOperands_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        Tensor a = randn(70, 45).to(dtype), b = randn(45, 83).to(dtype);
        using var rows = new TensorMatrix(a);
        using var columns = new TensorMatrix(a.t().contiguous());
        using var right = new TensorMatrix(b);
        using var transposed = new TensorMatrix(b.t().contiguous());
        var (wideA, wideB) = (a.to(float64), b.to(float64));
        foreach (var (name, product) in ((string, Action<StoreEpilogue<F32>>)[])
        [
            ("rows", e => Gemm.Run(new LeftRows(rows.View), 70, RightOperand.Of(right.View), e)),
            ("left transposed", e => Gemm.Run(new LeftColumns<MatrixView>(columns.View), 70, RightOperand.Of(right.View), e)),
            ("right transposed", e => Gemm.Run(new LeftRows(rows.View), 70, RightOperand.Transposed(transposed.View), e)),
        ])
        {
            using var canary = new Canary(70 * 83, float32);
            product(new(canary.Pointer, 83));
            canary.Check(name);
            WithinRounding(name, canary.ToTensor(70, 83), wideA, wideB);
        }
    }

    // In place, and for 90 columns packed.
    [Theory]
    [MemberData(nameof(Widths))]
    public void RowsSummedInPlace_GiveTheBitsOfPackedOnes(SimdWidth width)
    {
        using var forced = Cpu.Use(width);
        foreach (var (rows, m, n) in ((long, long, long)[])[(1, 1, 16), (37, 5, 32), (130, 13, 80), (300, 70, 128), (257, 400, 208), (20, 7, 1024), (40, 9, 1040), (33, 12, 90)])
        {
            using var scope = NewDisposeScope();
            Tensor a = randn(rows, m + 3).narrow(1, 2, m), b = randn(rows, n + 1).narrow(1, 0, n);
            using var left = new TensorMatrix(a);
            using var right = new TensorMatrix(b);
            using Canary inPlace = new(m * n, float32), packed = new(m * n, float32);
            Gemm.RunTransposed(left.View, right.View, new StoreEpilogue<F32>(inPlace.Pointer, n));
            Gemm.Run(new LeftColumns<MatrixView>(left.View), m, RightOperand.Of(right.View), new StoreEpilogue<F32>(packed.Pointer, n));
            inPlace.Check($"{rows} rows, {m} x {n}");
            Assert.True(Bits.Same(packed.ToTensor(m, n), inPlace.ToTensor(m, n)), $"{rows} rows, {m} x {n}");
            WithinRounding($"{rows} rows, {m} x {n}", inPlace.ToTensor(m, n), a.to(float64).t(), b.to(float64));
        }
    }

    // Strips or rows per thread (rows against 2 K, B of 512 KiB, A of 8 MiB), sums in the output or in scratch (16 and 512 columns),
    // blocks of K, no K. Sums of small integers are exact.
    [Theory]
    [MemberData(nameof(Widths))]
    public void PlainProducts_OnBothSidesOfEveryThreshold_AreExact(SimdWidth width)
    {
        using var forced = Cpu.Use(width);
        foreach (var (rows, depth, columns) in ((long, long, long)[])[(7, 0, 80), (3, 1, 16), (1, 97, 64), (49, 129, 17), (512, 256, 512), (513, 256, 512), (513, 256, 528), (2048, 1024, 16), (2049, 1024, 16), (700, 50, 79), (343, 97, 80)])
        {
            using var scope = NewDisposeScope();
            Tensor a = randint(-3, 4, [rows, depth]).to(float32), b = randint(-3, 4, [depth, columns]).to(float32);
            using var left = new TensorMatrix(a);
            using var right = new TensorMatrix(b);
            using var canary = new Canary(rows * columns, float32, misalignment: 4);
            Gemm.Run(new LeftRows(left.View), rows, RightOperand.Of(right.View), new LinearEpilogue<F32, Identity> { Output = canary.Pointer, Columns = columns });
            var name = $"[{rows}, {depth}] x [{depth}, {columns}]";
            canary.Check(name);
            Assert.True(canary.ToTensor(rows, columns).to(float64).eq(a.to(float64).matmul(b.to(float64))).all().item<bool>(), name);
        }
    }

    [Fact]
    public void ThreadsThatAreMany_AllGetWork()
    {
        int threads = get_num_threads();
        try
        {
            set_num_threads(16);
            foreach (long rows in (long[])[400, 600, 700, 4000])
            {
                long block = Gemm.BlockRows(rows, new PackedMatrix(null, 128, 128));
                Assert.InRange((rows + block - 1) / block * 2, 16, long.MaxValue);
            }
            static MatrixView Rows(long columns) => new(null, DType.Float32, 2048, columns, columns, 1);
            Assert.True(Gemm.TakesInPlace(Rows(352), Rows(128)));
            Assert.False(Gemm.TakesInPlace(Rows(8), Rows(1024)));
        }
        finally
        {
            set_num_threads(threads);
        }
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(1024, 1024)]
    [InlineData(1024, 2816)]
    [InlineData(7, 100000)]
    [InlineData(100, 0)]
    public void BlocksOfRows_AreWholeTilesOfOneSize(long rows, long depth)
    {
        long block = Gemm.BlockRows(rows, depth);
        Assert.Equal(0, block % GemmTile.MaxRows);
        Assert.InRange(block, GemmTile.MaxRows, 342);
        long blocks = (rows + block - 1) / block;
        // The last block is short of the others by less than one tile per block.
        Assert.True((blocks * block) - rows < blocks * GemmTile.MaxRows);
    }

    private static void Check(long rows, long depth, long columns)
    {
        using var scope = NewDisposeScope();
        // NaN around the operands: a read out of bounds would show in the product.
        var a = Strides.Guarded(randn(rows, depth), 7);
        var b = Strides.Guarded(randn(columns, depth), 7);
        using var left = new TensorMatrix(a);
        using var right = new TensorMatrix(b);
        using var canary = new Canary(rows * columns, float32, misalignment: 4);
        Gemm.Run(new LeftRows(left.View), rows, RightOperand.Transposed(right.View), new StoreEpilogue<F32>(canary.Pointer, columns));
        var name = $"[{rows}, {depth}] x [{depth}, {columns}]";
        canary.Check(name);
        WithinRounding(name, canary.ToTensor(rows, columns), a.to(float64), b.t().to(float64));
    }

    // |error| ≤ K·u·Σ|a|·|b| for any order of a sum of K products. Source: Higham 2002, section 3.1.
    private static void WithinRounding(string name, Tensor product, Tensor a, Tensor b)
    {
        var error = (product.to(float64) - a.matmul(b)).abs();
        var bound = a.abs().matmul(b.abs()) * (a.shape[1] * Math.Pow(2, -24));
        Assert.True(error.le(bound).all().item<bool>(), name);
    }
}
