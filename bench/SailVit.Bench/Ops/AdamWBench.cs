using SailVit.Bench.Measuring;
using SailVit.Model.Training;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>An optimizer step over parameters that do not fit a cache, as in training.</summary>
internal sealed class AdamWBench : IOpBench
{
    private const int Count = 8, Rows = 2816, Columns = 1024;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.Select(dtype => new BenchCase
    {
        Op = "adamw",
        Shape = $"{Count}x{Rows}x{Columns}",
        DType = dtype,
        Direction = Direction.Forward,
        // Parameter, gradient and both averages are read; all but the gradient are written.
        Work = Work.Elements(dtype, reads: 4, writes: 3, Count, Rows, Columns),
        Baseline = "torch.optim.AdamW",
        IsCpuOnly = true,
        Create = () => new Pair(dtype),
    });

    private sealed class Pair : BenchPair
    {
        private readonly Tensor[] _initial, _gradients;
        private readonly Parameter[] _ours, _stock;
        private readonly AdamW _fused, _baseline;

        public Pair(ScalarType dtype)
        {
            _initial = Many(() => Inputs.Weight(dtype, Rows, Columns));
            _gradients = Many(() => Inputs.Normal(dtype, Rows, Columns));
            (_ours, _stock) = (Parameters(dtype), Parameters(dtype));
            _fused = new FusedAdamW(_ours);
            _baseline = new AdamW(_stock);
        }

        public override Tensor[] Ours() => Step(_fused);

        public override Tensor[] Stock() => Step(_baseline);

        // The first step of both, before any timing.
        public override (double? Ours, double? Stock) Errors()
        {
            using var scope = NewDisposeScope();
            var exact = Parameters(ScalarType.Float64);
            using var optimizer = new AdamW(exact);
            Step(optimizer);
            // The change, not the parameter: that would hide a wrong step behind a thousandfold larger value.
            var reference = Changes(exact);
            Step(_fused);
            Step(_baseline);
            return (RelativeError.Worst(Changes(_ours), reference), RelativeError.Worst(Changes(_stock), reference));
        }

        protected override void Dispose(bool disposing)
        {
            _fused.Dispose();
            _baseline.Dispose();
            Array.ForEach([.. _initial, .. _gradients, .. _ours, .. _stock], t => t.Dispose());
        }

        private static Tensor[] Step(AdamW optimizer)
        {
            optimizer.step();
            // Updated in place: nothing for the caller to dispose.
            return [];
        }

        private Tensor[] Changes(Parameter[] parameters) => [.. parameters.Zip(_initial, (p, i) => p.detach().to(float64) - i.to(float64))];

        private Parameter[] Parameters(ScalarType dtype) => Array.ConvertAll([.. _initial.Zip(_gradients)], pair =>
        {
            var parameter = new Parameter(pair.First.to(dtype, copy: true));
            parameter.grad = pair.Second.to(dtype, copy: true);
            return (Parameter)parameter.DetachFromDisposeScope();
        });

        private static Tensor[] Many(Func<Tensor> make) => [.. Enumerable.Range(0, Count).Select(_ => make().DetachFromDisposeScope())];
    }
}
