using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

internal sealed class Options
{
    public double Factor { get; init; } = 3;
    public Exception? FailForward { get; init; }
    public Exception? FailBackward { get; init; }

    /// <summary>Replaces what backward returns.</summary>
    public Func<Tensor?[]>? Gradients { get; init; }

    /// <summary>Sees what backward is given.</summary>
    public Action<Tensor?[]>? Observe { get; init; }

    public int BackwardCalls;
}

/// <summary>y = factor·x², by plain torch ops: enough to exercise the base.</summary>
internal sealed class Square : OpFunction<Square, Options>
{
    public override string Name => "square";

    protected override ForwardResult Forward(Options state, Tensor?[] inputs)
    {
        if (state.FailForward is { } failure)
        {
            throw failure;
        }
        var y = inputs[0]! * inputs[0]! * state.Factor;
        return new([y], [inputs[0]]);
    }

    protected override Tensor?[] Backward(Options state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        Interlocked.Increment(ref state.BackwardCalls);
        state.Observe?.Invoke(grads);
        if (state.FailBackward is { } failure)
        {
            throw failure;
        }
        return state.Gradients?.Invoke() ?? [2 * state.Factor * saved[0]! * grads[0]!];
    }
}

/// <summary>y = eˣ, whose backward needs the output.</summary>
internal sealed class Exponential : OpFunction<Exponential, Options>
{
    public override string Name => "exponential";

    protected override ForwardResult Forward(Options state, Tensor?[] inputs)
    {
        var y = inputs[0]!.exp();
        return new([y], [y]);
    }

    protected override Tensor?[] Backward(Options state, Tensor?[] saved, Tensor?[] grads, bool[] needed) => [saved[0]! * grads[0]!];
}

/// <summary>(x·w, Σx without a gradient, x + w + b); b may be null. The statistic is also saved.</summary>
internal sealed class Trio : OpFunction<Trio, Options>
{
    public override string Name => "trio";

    protected override ForwardResult Forward(Options state, Tensor?[] inputs)
    {
        var (x, w, b) = (inputs[0]!, inputs[1]!, inputs[2]);
        var statistic = x.sum();
        var sum = b is null ? x + w : x + w + b;
        return new([x * w, statistic, sum], [x, w, statistic], [statistic]);
    }

    protected override Tensor?[] Backward(Options state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        state.Observe?.Invoke(grads);
        Xunit.Assert.Equal(saved[0]!.sum().item<float>(), saved[2]!.item<float>());
        var (product, sum) = (grads[0], grads[2]);
        Tensor Total(Tensor other) => (product is null ? 0 : product * other) + (sum ?? zeros_like(other));
        return [Total(saved[1]!), Total(saved[0]!), sum];
    }
}

/// <summary>x + y; hands the incoming gradient on as it is.</summary>
internal sealed class Sum : OpFunction<Sum, Options>
{
    public override string Name => "sum";

    protected override ForwardResult Forward(Options state, Tensor?[] inputs) => new([inputs[0]! + inputs[1]!], []);

    protected override Tensor?[] Backward(Options state, Tensor?[] saved, Tensor?[] grads, bool[] needed) => [grads[0], grads[0]];
}
