using SailVit.Model.Training;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

public sealed class MasterAdamWTests
{
    /// <summary>Fifty steps of two micro-batches, clipped, with bfloat16 parameters, against AdamW in doubles.</summary>
    [Theory]
    [InlineData(2, 0.1)]
    [InlineData(1, 0.0)]
    public void MastersFollowFloat64_ClippedOverTheSum_VectorsWithoutDecay(int dims, double decay)
    {
        using var scope = NewDisposeScope();
        long[] shape = dims == 2 ? [2, 3] : [6];
        double[] w = [1, -2, 0.5, 0.25, -0.75, 3], m = new double[6], v = new double[6];
        Parameter parameter = nn.Parameter(tensor(w).reshape(shape).to(bfloat16));
        using var optimizer = new MasterAdamW([new("one", [("p", parameter)], 0.01, 0.1)]);
        for (int step = 1; step <= 50; step++)
        {
            double[] g = new double[6];
            for (int part = 0; part < 2; part++)
            {
                // Multiples of 1/16 below 8: the same in bfloat16.
                double[] micro = [.. Enumerable.Range(0, 6).Select(i => ((((step * 7) + (i * 5) + (part * 3)) % 31) - 15) / 16.0)];
                parameter.backward([tensor(micro).reshape(shape).to(bfloat16)]);
                optimizer.Accumulate();
                g = [.. g.Zip(micro, (a, b) => a + b)];
            }
            double norm = Math.Sqrt(g.Sum(x => x * x)), scale = Math.Min(1, 1 / norm);
            Assert.Equal(norm, optimizer.ClipGradients(1), 1e-6);
            optimizer.Step(0.5);
            for (int i = 0; i < 6; i++)
            {
                double x = g[i] * scale;
                m[i] = (0.9 * m[i]) + (0.1 * x);
                v[i] = (0.999 * v[i]) + (0.001 * x * x);
                w[i] -= 0.005 * ((decay * w[i]) + (m[i] / (1 - Math.Pow(0.9, step)) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.999, step))) + 1e-8)));
            }
        }
        var exact = tensor(w).reshape(shape);
        Assert.True((optimizer.Masters["p"].to(float64) - exact).abs().max().item<double>() < 5e-6);
        Assert.True(parameter.detach().eq(optimizer.Masters["p"].to(bfloat16)).all().item<bool>());
    }
}
