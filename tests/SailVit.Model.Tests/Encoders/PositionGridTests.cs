using SailVit.Model.Encoders;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Encoders;

public sealed class PositionGridTests
{
    [Fact]
    public void SinCos_FirstHalfIsTheColumn_SecondHalfTheRow()
    {
        using var scope = NewDisposeScope();
        const int rows = 3, columns = 5, channels = 8;
        var position = PositionGrid.SinCos(rows, columns, channels);
        Assert.Equal([1L, rows * columns, channels], position.shape);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                var token = position[0, (r * columns) + c].data<float>().ToArray();
                for (int i = 0; i < channels / 4; i++)
                {
                    double omega = Math.Pow(10000, -i / (channels / 4.0));
                    Assert.Equal(Math.Sin(c * omega), token[i], 5);
                    Assert.Equal(Math.Cos(c * omega), token[(channels / 4) + i], 5);
                    Assert.Equal(Math.Sin(r * omega), token[(channels / 2) + i], 5);
                    Assert.Equal(Math.Cos(r * omega), token[(3 * channels / 4) + i], 5);
                }
            }
        }
    }

    [Fact]
    public void Resize_KeepsTheClassSlotAndInterpolatesTheGrid()
    {
        using var scope = NewDisposeScope();
        var columns = new float[] { 3, -1, 4, 1, -5, 9, 2, 6 };
        var grid = tensor(columns).reshape(1, 8).expand(6, 8).reshape(1, 48, 1);
        var position = cat([full(1, 1, 1, 77f), grid], dim: 1);
        var resized = PositionGrid.Resize(position, (6, 8), (12, 16));
        Assert.Equal([1L, 1 + (12 * 16), 1], resized.shape);
        Assert.Equal(77f, resized[0, 0, 0].item<float>());
        for (int column = 0; column < 16; column++)
        {
            Assert.Equal(Interpolate(columns, ((column + 0.5) / 2) - 0.5), resized[0, 1 + (6 * 16) + column, 0].item<float>(), 4);
        }
    }

    /// <summary>Cubic convolution with a = −0.75 and repeated borders (Keys 1981): what PyTorch calls bicubic.</summary>
    private static double Interpolate(float[] values, double at)
    {
        const double a = -0.75;
        int first = (int)Math.Floor(at) - 1;
        double sum = 0;
        for (int i = first; i < first + 4; i++)
        {
            double x = Math.Abs(at - i);
            double weight = x <= 1 ? ((a + 2) * x * x * x) - ((a + 3) * x * x) + 1 : (a * x * x * x) - (5 * a * x * x) + (8 * a * x) - (4 * a);
            sum += weight * values[Math.Clamp(i, 0, values.Length - 1)];
        }
        return sum;
    }

    [Fact]
    public void Resize_IsDifferentiable()
    {
        using var scope = NewDisposeScope();
        var position = randn(1, 17, 4).requires_grad_();
        PositionGrid.Resize(position, (4, 4), (6, 2)).sum().backward();
        Assert.Equal((1 + 12) * 4, position.grad!.sum().item<float>(), 3);
    }
}
