using SailVit.Kernels.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

public sealed partial class MasterAdamW
{
    private sealed class Slot : IDisposable
    {
        private Tensor? _gradient, _master, _average, _square;

        public Slot(string name, Parameter parameter, TrainedGroup group) => (Name, Parameter, Group) = (name, parameter, group);

        public string Name { get; }

        public Parameter Parameter { get; }

        public TrainedGroup Group { get; }

        /// <summary>Rank of the replica that keeps the state.</summary>
        public int Owner { get; set; }

        public long Count => Parameter.numel();

        public double WeightDecay => Parameter.shape is [] or [_] or [1, _, _] ? 0 : Group.WeightDecay;

        public Tensor Master => _master ?? throw new InvalidOperationException($"The state of {Name} is another replica's.");

        public Tensor Average => _average!;

        public Tensor Square => _square!;

        public Tensor? Taken => _gradient;

        public Tensor Gradient => _gradient ??= zeros(Parameter.shape, float32).DetachFromDisposeScope();

        public void Allocate()
        {
            using var noGrad = no_grad();
            _master = Parameter.dtype == ScalarType.Float32 ? Parameter : Parameter.detach().to(float32).DetachFromDisposeScope();
            _average = zeros_like(_master).DetachFromDisposeScope();
            _square = zeros_like(_master).DetachFromDisposeScope();
        }

        public void Accumulate()
        {
            if (Parameter.grad is not { } gradient)
            {
                return;
            }
            using var noGrad = no_grad();
            if (_gradient is null)
            {
                // Another handle on float32 memory that autograd gives up next.
                _gradient = (gradient.dtype == ScalarType.Float32 ? gradient.alias() : gradient.to(float32)).DetachFromDisposeScope();
            }
            else
            {
                _gradient.add_(gradient, HeldScalar.One);
            }
            gradient.Dispose();
            Parameter.grad = null;
        }

        public void DropGradient()
        {
            _gradient?.Dispose();
            _gradient = null;
            Parameter.grad = null;
        }

        public void Publish()
        {
            if (_master is not null && !ReferenceEquals(_master, Parameter))
            {
                Parameter.copy_(_master);
            }
        }

        public void Dispose()
        {
            DropGradient();
            _average?.Dispose();
            _square?.Dispose();
            if (!ReferenceEquals(_master, Parameter))
            {
                _master?.Dispose();
            }
        }
    }
}
