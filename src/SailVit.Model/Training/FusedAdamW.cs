using SailVit.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary><c>torch.optim.AdamW</c> that updates each parameter in one pass and keeps no temporaries.</summary>
/// <remarks>Parameter groups, options, schedulers and saved states are those of the base class; a run can change from one to
/// the other between steps.</remarks>
public sealed class FusedAdamW : AdamW
{
    /// <summary>Creates the optimizer with one group of parameters; arguments as in <c>torch.optim.AdamW</c>.</summary>
    public FusedAdamW(IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
        double weight_decay = 0, bool amsgrad = false, bool maximize = false)
        : base(parameters, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize) { }

    /// <summary>Creates the optimizer with groups of parameters that may have options of their own.</summary>
    public FusedAdamW(IEnumerable<ParamGroup> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
        double weight_decay = 0, bool amsgrad = false, bool maximize = false)
        : base(parameters, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize) { }

    /// <summary>Updates all parameters that have a gradient.</summary>
    /// <param name="closure">Computes the loss again and returns it; optional.</param>
    public override Tensor step(Func<Tensor>? closure = null) => _step<ParamGroup>(Update, closure);

    private void Update(ParamGroup group)
    {
        var options = (Options)group.Options;
        var items = new List<(Parameter Parameter, Tensor Gradient, State State)>();
        foreach (var parameter in group.Parameters)
        {
            if (parameter.grad is { } gradient)
            {
                var state = (State)_state[parameter.Handle];
                state.step++;
                items.Add((parameter, gradient, state));
            }
        }
        bool amsgrad = options.amsgrad!.Value;
        var settings = new AdamWOptions(options.LearningRate!.Value, options.beta1!.Value, options.beta2!.Value, options.eps!.Value, options.weight_decay!.Value, options.maximize!.Value);
        // A parameter that was frozen for a while is behind the others.
        foreach (var same in items.GroupBy(i => i.State.step))
        {
            functional.adamw_([.. same.Select(i => i.Parameter)], [.. same.Select(i => i.Gradient)], [.. same.Select(i => i.State.exp_avg)],
                [.. same.Select(i => i.State.exp_avg_sq)], amsgrad ? [.. same.Select(i => i.State.max_exp_avg_sq)] : null, same.Key, settings);
        }
    }
}
