using SailVit.Bench.Measuring;
using SailVit.Kernels;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>TorchSharp's own encoder layer, unchanged, with the accelerator installed and without.</summary>
internal sealed class AcceleratorBench : IOpBench
{
    private const long N = 1024, C = 1024, Heads = 8, Hidden = 4096;

    public IEnumerable<BenchCase> Cases() => new[] { Direction.Forward, Direction.ForwardBackward }.Select(direction => new BenchCase
    {
        Op = "accelerator",
        Shape = $"TransformerEncoderLayer {N}x{C}",
        DType = float32,
        Direction = direction,
        Work = (direction == Direction.Forward ? 1 : 3)
            * (Work.MatrixProduct(float32, N, 4 * C, C) + 2 * Work.MatrixProduct(float32, N, Hidden, C) + 2 * Work.MatrixProduct(float32, N, N, C)),
        Baseline = "the same without the accelerator",
        Create = () => new LayerPair(direction),
    });

    private sealed class LayerPair(Direction direction) : BenchPair
    {
        private readonly TransformerEncoderLayer _layer = Layer();
        private readonly Tensor _x = Inputs.Normal(float32, N, 1, C).DetachFromDisposeScope(), _dy = Inputs.Normal(float32, N, 1, C).DetachFromDisposeScope();

        public override Tensor[] Ours()
        {
            using var accelerator = Accelerator.Install();
            return Call(_layer, _x, _dy);
        }

        public override Tensor[] Stock() => Call(_layer, _x, _dy);

        public override (double? Ours, double? Stock) Errors()
        {
            using var scope = NewDisposeScope();
            using var exact = Layer();
            exact.load_state_dict(_layer.state_dict());
            exact.to(ScalarType.Float64);
            var reference = Call(exact, _x.to(float64), _dy.to(float64));
            return (RelativeError.Worst(Ours(), reference), RelativeError.Worst(Stock(), reference));
        }

        protected override void Dispose(bool disposing)
        {
            _layer.Dispose();
            _x.Dispose();
            _dy.Dispose();
        }

        private static TransformerEncoderLayer Layer()
        {
            manual_seed(1);
            return nn.TransformerEncoderLayer(C, Heads, Hidden, 0.0, nn.Activations.GELU);
        }

        private Tensor[] Call(TransformerEncoderLayer layer, Tensor x, Tensor dy)
        {
            if (direction == Direction.Forward)
            {
                using var noGrad = no_grad();
                return [layer.call(x, null!, null!)];
            }
            layer.zero_grad();
            var y = layer.call(x, null!, null!);
            y.backward([dy]);
            return [y, .. layer.parameters().Select(p => p.grad!.clone())];
        }
    }
}
