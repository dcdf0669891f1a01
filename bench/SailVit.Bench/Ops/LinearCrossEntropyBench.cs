using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>Head and loss of a language model, at a vocabulary where logits still fit a small machine.</summary>
internal sealed class LinearCrossEntropyBench : IOpBench
{
    private const int Rows = 1024, Width = 512, Classes = 32_768;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => new OpBench
    {
        Op = "linear_cross_entropy",
        Shape = $"{Rows}x{Width}->{Classes}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, Rows, Width), Inputs.Weight(dtype, Classes, Width), randint(0, Classes, [Rows], dtype: int64)],
        Ours = t => [functional.linear_cross_entropy(t[0], t[1], t[2])],
        Stock = t => [nn.functional.cross_entropy(nn.functional.linear(t[0], t[1]), t[2])],
        Differentiable = [true, true, false],
        Baseline = "linear, cross_entropy",
        Forward = Work.MatrixProduct(dtype, Rows, Classes, Width),
        Backward = 2 * Work.MatrixProduct(dtype, Rows, Classes, Width),
    }.Cases());
}
