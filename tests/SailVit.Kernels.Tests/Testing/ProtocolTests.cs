using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Testing;

/// <summary>The protocol must accept correct rounding and catch planted errors.</summary>
public sealed class ProtocolTests
{
    public static TheoryData<ScalarType> DTypes => [ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16];

    private static (Tensor Stock, Tensor Reference) Sample(ScalarType dtype, int rows = 64, int width = 48)
    {
        using var generator = new Generator(7);
        var reference = randn([rows, width], generator: generator).to(float64) + 1e-9 * arange(rows * width, dtype: float64).reshape(rows, width);
        return (reference.to(dtype), reference);
    }

    [Theory]
    [MemberData(nameof(DTypes))]
    public void CorrectRounding_Passes(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(dtype);
        var report = Protocol.Check("rounding", stock.clone(), stock, reference);
        Assert.InRange(report.Samples, 32, 64);
        Assert.InRange(report.Ours.Max, 1e-12, Bits.Ulp(report.MaxReference, dtype));
    }

    [Theory]
    [MemberData(nameof(DTypes))]
    public void ThreeUlpInOneElement_Fails(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(dtype);
        var ours = stock.clone();
        double max = reference.abs().max().item<double>();
        // 3 ulp of the largest value: the allowance is 2 ulp plus twice the comparator's half.
        ours[5, 6] = ours[5, 6].to(float64).item<double>() + 3.6 * Bits.Ulp(max, dtype);
        Expect("largest error", ours, stock, reference);
    }

    [Theory]
    [MemberData(nameof(DTypes))]
    public void BiasWithinTheLargestError_FailsByTheMean(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(dtype, 1024);
        var ours = (stock.to(float64) + Bits.Ulp(reference.abs().max().item<double>(), dtype)).to(dtype);
        Expect("mean error", ours, stock, reference);
    }

    [Fact]
    public void OneUlpAgainstAnExactComparator_Passes()
    {
        using var scope = NewDisposeScope();
        var stock = full([1, 8], 0.75f);
        Protocol.Check("one ulp", full([1, 8], 0.75f + 1.2e-7f), stock, stock.to(float64));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void MisplacedNonFinite_Fails(float value)
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(float32);
        var ours = stock.clone();
        ours[63, 47] = value;
        Expect("NaN and infinity", ours, stock, reference);
        // And the other way round: ours hides one.
        var (badStock, badReference) = (ours, ours.to(float64));
        Expect("NaN and infinity", stock, badStock, badReference);
        Protocol.Check("agreeing", ours.clone(), badStock, badReference);
    }

    [Fact]
    public void FiniteWhereTheComparatorOverflows_Passes()
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(float16);
        var ours = stock.clone();
        stock[0, 0] = float.PositiveInfinity;
        Protocol.Check("better than stock", ours, stock, reference);
    }

    [Fact]
    public void WrongShapeOrDType_Fails()
    {
        using var scope = NewDisposeScope();
        var (stock, reference) = Sample(float32);
        Expect("must agree", stock.t(), stock, reference);
        Expect("must agree", stock.to(bfloat16), stock, reference);
    }

    [Fact]
    public void EmptyTensors_Pass()
    {
        using var scope = NewDisposeScope();
        Protocol.Check("empty", zeros(0, 5), zeros(0, 5), zeros(0, 5).to(float64));
    }

    private static void Expect(string part, Tensor ours, Tensor stock, Tensor reference) =>
        Assert.Contains(part, Assert.Throws<ProtocolException>(() => Protocol.Check("planted", ours, stock, reference)).Message, StringComparison.Ordinal);
}
