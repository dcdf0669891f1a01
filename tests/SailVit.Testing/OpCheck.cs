using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>One op on one set of inputs, ours and the same in stock TorchSharp.</summary>
public sealed record OpCase
{
    /// <summary>Op and options, for messages.</summary>
    public required string Name { get; init; }

    /// <summary>Arguments with the strides under test; null where an optional one is absent. They are not modified.</summary>
    public required Tensor?[] Inputs { get; init; }

    /// <summary>Our op. Gets the inputs (null where absent), returns its outputs.</summary>
    public required Func<Tensor[], Tensor[]> Ours { get; init; }

    /// <summary>The same from stock TorchSharp ops; also run in float64 as the reference, so it must not name a dtype.</summary>
    public required Func<Tensor[], Tensor[]> Stock { get; init; }

    /// <summary>A reference other than <see cref="Stock"/> in float64, where stock is wrong or undefined (fully masked rows).</summary>
    public Func<Tensor[], Tensor[]>? Reference { get; init; }

    /// <summary>Which inputs want gradients; null for every floating-point one. Empty for forward only.</summary>
    public bool[]? Differentiable { get; init; }

    /// <summary>Vector widths to run; null for all that this processor has. On a device, one kernel instead of both.</summary>
    public IReadOnlyList<SimdWidth>? Widths { get; init; }

    /// <summary>Changes the layout of each incoming gradient, same values (see <see cref="Strides"/>); null leaves it row-major.</summary>
    public Func<Tensor, Tensor>? GradLayout { get; init; }

    /// <summary>Rule for outputs and gradients.</summary>
    public Tolerance Tolerance { get; init; } = Tolerance.Default;

    /// <summary>Rule per output index, where it differs (log-sum-exp).</summary>
    public IReadOnlyDictionary<int, Tolerance>? OutputTolerance { get; init; }

    /// <summary>Seeds the incoming gradients; printed on failure.</summary>
    public int Seed { get; init; } = 1;
}

/// <summary>Runs an op forward and backward at every vector width and holds all results to the protocol.</summary>
public static class OpCheck
{
    /// <exception cref="ProtocolException">A result breaks the rule, an input was modified, or outputs differ in number or shape.</exception>
    public static void Run(OpCase c)
    {
        using var scope = NewDisposeScope();
        var before = Array.ConvertAll(c.Inputs, t => t?.detach().clone());
        var wants = c.Differentiable is { Length: 0 } ? new bool[c.Inputs.Length]
            : c.Differentiable ?? Array.ConvertAll(c.Inputs, t => t is not null && t.is_floating_point());
        var stock = Pass(c, c.Stock, t => t, wants);
        var reference = Pass(c, c.Reference ?? c.Stock, t => t.is_floating_point() ? t.to(float64) : t, wants);
        foreach (var (variant, use) in Variants(c))
        {
            using var forced = use();
            using var inner = NewDisposeScope();
            var ours = Pass(c, c.Ours, t => t, wants);
            Compare($"{c.Name} at {variant}, seed {c.Seed}", c, ours, stock, reference);
        }
        for (int i = 0; i < before.Length; i++)
        {
            if (before[i] is { } b && Bits.FirstDifference(b, c.Inputs[i]!) is { } difference)
            {
                throw new ProtocolException($"{c.Name}: input {i} was modified, {difference}.");
            }
        }
    }

    // The kernels that one case must be held to: on a processor one per vector width, on a device one per way to share a row.
    private static IEnumerable<(string Name, Func<IDisposable> Use)> Variants(OpCase c)
    {
        if (Dispatcher.Choice != BackendKind.OpenCl)
        {
            return (c.Widths ?? Cpu.Available).Select(w => (w.ToString(), (Func<IDisposable>)(() => Cpu.Use(w))));
        }
        // A case that asks for one width gets one way.
        bool[] ways = c.Widths is null ? [false, true] : [c.Seed % 2 == 1];
        return ways.Select(many => (many ? "many lanes of OpenCL" : "one lane of OpenCL", (Func<IDisposable>)(() => OpenClRows.Force(many))));
    }

    private static void Compare(string name, OpCase c, Results ours, Results stock, Results reference)
    {
        if (ours.Outputs.Length != stock.Outputs.Length)
        {
            throw new ProtocolException($"{name}: ours has {ours.Outputs.Length} outputs, stock {stock.Outputs.Length}.");
        }
        for (int i = 0; i < ours.Outputs.Length; i++)
        {
            var report = Protocol.Check($"{name}, output {i}", ours.Outputs[i], stock.Outputs[i], reference.Outputs[i], c.OutputTolerance?.GetValueOrDefault(i) ?? c.Tolerance);
            PooledErrors.Add($"output {i}", ours.Outputs[i].dtype, report);
        }
        for (int i = 0; i < ours.Gradients.Length; i++)
        {
            if ((ours.Gradients[i] is null) != (stock.Gradients[i] is null))
            {
                throw new ProtocolException($"{name}: gradient of input {i} is {(ours.Gradients[i] is null ? "absent" : "present")}, in stock it is not so.");
            }
            if (ours.Gradients[i] is { } gradient)
            {
                var report = Protocol.Check($"{name}, gradient of input {i}", gradient, stock.Gradients[i]!, reference.Gradients[i]!, c.Tolerance);
                PooledErrors.Add($"gradient of input {i}", gradient.dtype, report);
            }
        }
    }

    private static Results Pass(OpCase c, Func<Tensor[], Tensor[]> op, Func<Tensor, Tensor> convert, bool[] wants)
    {
        // A detached alias keeps the strides under test and makes a fresh leaf.
        var leaves = new Tensor[c.Inputs.Length];
        for (int i = 0; i < leaves.Length; i++)
        {
            leaves[i] = c.Inputs[i] is { } input ? convert(input).detach().requires_grad_(wants[i]) : null!;
        }
        if (!wants.Contains(true))
        {
            using var noGrad = no_grad();
            return new(op(leaves), []);
        }
        var outputs = op(leaves);
        var differentiable = outputs.Where(o => o.requires_grad).ToList();
        var grads = GradOutputs(c, differentiable, convert);
        BackwardException.Run(() => autograd.backward(differentiable, grads));
        return new(Array.ConvertAll(outputs, o => o.detach()), [.. leaves.Select((l, i) => wants[i] ? l.grad : null)]);
    }

    private static List<Tensor> GradOutputs(OpCase c, List<Tensor> outputs, Func<Tensor, Tensor> convert)
    {
        // The same seeded float32 values, rounded to the storage dtype of the op under test, for all three runs.
        var dtype = c.Inputs.First(t => t is not null && t.is_floating_point())!.dtype;
        using var generator = new Generator((ulong)c.Seed);
        return outputs.ConvertAll(o =>
        {
            var values = convert(randn(o.shape, generator: generator).to(dtype)).to(o.dtype);
            return c.GradLayout is { } layout ? layout(values) : values;
        });
    }

    private sealed record Results(Tensor[] Outputs, Tensor?[] Gradients);
}
