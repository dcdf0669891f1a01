using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Values at which kernels lose accuracy or break.</summary>
public static class Adversarial
{
    /// <summary>A name for messages and a maker of [rows…, width] values in float32.</summary>
    public readonly record struct Values(string Name, Func<long[], Generator, Tensor> Make)
    {
        public override string ToString() => Name;
    }

    /// <summary>Finite values; results are held to the ordinary rule.</summary>
    public static IReadOnlyList<Values> Finite { get; } =
    [
        new("normal", (s, g) => randn(s, generator: g)),
        new("zeros", (s, _) => zeros(s)),
        new("constant rows", (s, _) => full(s, 3.25f)),
        new("mean far above deviation", (s, g) => 1e4 + randn(s, generator: g)),
        new("large", (s, g) => 100 * randn(s, generator: g)),
        new("small", (s, g) => 1e-4 * randn(s, generator: g)),
        new("subnormal in float32", (s, g) => 1e-40 * randn(s, generator: g)),
        new("one spike per row", Spike),
        new("alternating sign", (s, _) => 1 - 2 * (arange(s.Aggregate(1L, (a, b) => a * b), dtype: float32).reshape(s) % 2)),
    ];

    /// <summary>NaN and infinities among normal values; they must appear where stock has them.</summary>
    public static IReadOnlyList<Values> NonFinite { get; } =
    [
        new("a NaN", (s, g) => With(randn(s, generator: g), float.NaN)),
        new("a positive infinity", (s, g) => With(randn(s, generator: g), float.PositiveInfinity)),
        new("a negative infinity", (s, g) => With(randn(s, generator: g), float.NegativeInfinity)),
        new("both infinities in one row", (s, g) => With(randn(s, generator: g), float.PositiveInfinity, float.NegativeInfinity)),
    ];

    /// <summary>Puts <paramref name="values"/> at the start of the middle row.</summary>
    public static Tensor With(Tensor t, params ReadOnlySpan<float> values)
    {
        using var scope = NewDisposeScope();
        if (t.numel() > 0)
        {
            long width = t.shape[^1];
            var rows = t.view(-1, width);
            var row = rows[rows.shape[0] / 2];
            for (int i = 0; i < Math.Min(values.Length, width); i++)
            {
                row[i] = values[i];
            }
        }
        return t;
    }

    private static Tensor Spike(long[] shape, Generator generator)
    {
        var t = randn(shape, generator: generator);
        if (t.numel() > 0)
        {
            t.narrow(-1, 0, 1).fill_(300f);
        }
        return t;
    }
}
