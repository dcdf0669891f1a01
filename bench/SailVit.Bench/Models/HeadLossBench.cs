using System.Diagnostics;
using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Models;

/// <summary>Head and loss of a language model at full size: Qwen2.5-0.5B's vocabulary and width, 4,096 tokens, all learned.</summary>
public static class HeadLossBench
{
    /// <summary>Names the case.</summary>
    public const string Op = "head_loss";

    private const int Tokens = 4096, Width = 896, Vocabulary = 151_936;

    /// <summary>The one case: loss and the gradients of hidden states and head.</summary>
    public static IEnumerable<BenchCase> Cases(ScalarType dtype)
    {
        yield return new BenchCase
        {
            Op = Op,
            Shape = $"{Tokens}x{Width}->{Vocabulary}",
            DType = dtype,
            Direction = Direction.ForwardBackward,
            Work = 3 * Work.MatrixProduct(dtype, Tokens, Vocabulary, Width),
            Baseline = "linear, cross_entropy",
            Create = () => new HeadLossPair(dtype),
        };
    }

    /// <summary>Runs one side once in this process and returns what it takes above weights and hidden states, MB: the peak of resident
    /// memory less what was resident before. Call it in a process of its own.</summary>
    public static double Peak(ModelBench.Side side, ScalarType dtype)
    {
        using var pair = new HeadLossPair(dtype);
        using var scope = NewDisposeScope();
        using var process = Process.GetCurrentProcess();
        long before = process.WorkingSet64;
        _ = side == ModelBench.Side.Ours ? pair.Ours() : pair.Stock();
        process.Refresh();
        return (process.PeakWorkingSet64 - before) / 1e6;
    }

    private sealed class HeadLossPair : BenchPair
    {
        private readonly Tensor _hidden, _head, _labels;

        public HeadLossPair(ScalarType dtype)
        {
            _hidden = Inputs.Normal(dtype, Tokens, Width).DetachFromDisposeScope().requires_grad_(true);
            _head = Inputs.Weight(dtype, Vocabulary, Width).DetachFromDisposeScope().requires_grad_(true);
            _labels = randint(0, Vocabulary, [Tokens], dtype: int64).DetachFromDisposeScope();
        }

        public override Tensor[] Ours() => Call(functional.linear_cross_entropy(_hidden, _head, _labels));

        public override Tensor[] Stock() => Call(nn.functional.cross_entropy(nn.functional.linear(_hidden, _head), _labels));

        // Logits in float64 would take 5 GB several times over; how far the two sides are apart stands in a test.
        public override (double? Ours, double? Stock) Errors() => (null, null);

        protected override void Dispose(bool disposing)
        {
            _hidden.Dispose();
            _head.Dispose();
            _labels.Dispose();
        }

        private Tensor[] Call(Tensor loss)
        {
            loss.backward();
            Tensor[] results = [loss, _hidden.grad!, _head.grad!];
            _hidden.grad = _head.grad = null;
            return results;
        }
    }
}
