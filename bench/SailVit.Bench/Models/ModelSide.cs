using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Bench.Models;

/// <summary>A model with its optimizer: one of the two sides, or the reference.</summary>
internal sealed class ModelSide : IDisposable
{
    private readonly Func<IEnumerable<Parameter>, optim.Optimizer> _createOptimizer;
    private optim.Optimizer? _optimizer;

    public ModelSide(Module<Tensor, Tensor> model, Func<IEnumerable<Parameter>, optim.Optimizer> createOptimizer)
    {
        Model = model;
        _createOptimizer = createOptimizer;
    }

    public Module<Tensor, Tensor> Model { get; }

    /// <summary>The last hidden state, no graph.</summary>
    public Tensor[] Forward(Tensor pixels)
    {
        Model.eval();
        using var noGrad = no_grad();
        return [Model.call(pixels)];
    }

    /// <summary>Forward, backward, optimizer step.</summary>
    public Tensor[] Step(Tensor pixels, Tensor gradOutput)
    {
        // Made with the first step: its state is twice the size of the parameters.
        _optimizer ??= _createOptimizer(Model.parameters());
        Model.train();
        var output = Model.call(pixels);
        output.backward([gradOutput]);
        _optimizer.step();
        // Here rather than before the next pass: the other side runs in between and may have the memory.
        _optimizer.zero_grad();
        return [output];
    }

    /// <summary>The last hidden state and the gradient of every parameter, in the order of their names.</summary>
    public Tensor[] Gradients(Tensor pixels, Tensor gradOutput)
    {
        Model.train();
        var output = Model.call(pixels);
        output.backward([gradOutput]);
        var results = new List<Tensor> { output.detach() };
        foreach (var (name, parameter) in Model.named_parameters().OrderBy(p => p.name, StringComparer.Ordinal))
        {
            results.Add(parameter.grad ?? throw new InvalidOperationException($"Parameter {name} got no gradient."));
            parameter.grad = null;
        }
        return [.. results];
    }

    public void Dispose()
    {
        _optimizer?.Dispose();
        Model.Dispose();
    }
}
