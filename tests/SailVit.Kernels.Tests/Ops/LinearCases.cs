using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Linear ops by pairs of delegates: ours by one path, and the stock composition.</summary>
internal static class LinearCases
{
    public static readonly ScalarType[] DTypes = [float32, bfloat16, float16];

    public static readonly LinearPath[] Paths = [LinearPath.Own, LinearPath.LibTorch];

    /// <summary>Inputs: x, weight, bias, residual.</summary>
    public static OpCase Linear(string name, Tensor?[] inputs, LinearPath path, Activation activation = Activation.None, int seed = 1) => new()
    {
        Name = $"linear by {path}, {activation}, {name}",
        Inputs = inputs,
        Ours = t => With(path, () => functional.linear(t[0], t[1], t[2], activation, t[3])),
        Stock = t => [Stock(t, activation)],
        Seed = seed,
    };

    /// <summary>Inputs: x, gate weight, up weight, gate bias, up bias.</summary>
    public static OpCase SwiGlu(string name, Tensor?[] inputs, LinearPath path, int seed = 1) => new()
    {
        Name = $"linear_swiglu by {path}, {name}",
        Inputs = inputs,
        Ours = t => With(path, () => functional.linear_swiglu(t[0], t[1], t[2], t[3], t[4])),
        Stock = t => [nn.functional.silu(nn.functional.linear(t[0], t[1], t[3])) * nn.functional.linear(t[0], t[2], t[4])],
        Seed = seed,
    };

    /// <summary>Weights of the size that keeps outputs near 1, as in a trained layer.</summary>
    public static Tensor?[] Inputs(long[] rows, long depth, long columns, ScalarType dtype, Generator g, bool bias = true, bool residual = false) =>
    [
        randn([.. rows, depth], generator: g).to(dtype),
        Weight(columns, depth, dtype, g),
        bias ? randn(columns, generator: g).to(dtype) : null,
        residual ? randn([.. rows, columns], generator: g).to(dtype) : null,
    ];

    public static Tensor?[] SwiGluInputs(long[] rows, long depth, long columns, ScalarType dtype, Generator g, bool bias = true) =>
    [
        randn([.. rows, depth], generator: g).to(dtype),
        Weight(columns, depth, dtype, g),
        Weight(columns, depth, dtype, g),
        bias ? randn(columns, generator: g).to(dtype) : null,
        bias ? randn(columns, generator: g).to(dtype) : null,
    ];

    public static Tensor Weight(long columns, long depth, ScalarType dtype, Generator g) =>
        (randn(columns, depth, generator: g) / Math.Sqrt(Math.Max(depth, 1))).to(dtype);

    private static Tensor Stock(Tensor[] t, Activation activation)
    {
        var y = nn.functional.linear(t[0], t[1], t[2]);
        y = activation switch
        {
            Activation.Gelu => nn.functional.gelu(y),
            Activation.GeluTanh => nn.functional.gelu(y, TorchSharp.Modules.GELU.Approximate.tanh),
            Activation.Silu => nn.functional.silu(y),
            _ => y,
        };
        return t[3] is null ? y : y + t[3];
    }

    private static Tensor[] With(LinearPath path, Func<Tensor> op)
    {
        using var forced = LinearDispatch.Use(path);
        return [op()];
    }
}
