using System.Globalization;

namespace SailVit.Testing;

/// <summary>Seeded random configurations. <c>SAILVIT_FUZZ=10000</c> asks for about that many over all ops,
/// <c>SAILVIT_FUZZ_SEED=n</c> repeats a single one.</summary>
public static class RandomConfigs
{
    /// <summary>Sets the number of configurations over all ops.</summary>
    public const string CountVariable = "SAILVIT_FUZZ";

    /// <summary>Runs only this seed.</summary>
    public const string SeedVariable = "SAILVIT_FUZZ_SEED";

    /// <summary>Tests that share the number, one per op and layout.</summary>
    public const int Tests = 9;

    /// <summary>Over all ops when nothing else is asked for.</summary>
    public const int DefaultTotal = 2000;

    /// <summary>Configurations per fuzz test.</summary>
    public static int Count => ((Number(CountVariable) ?? DefaultTotal) + Tests - 1) / Tests;

    // One run shows whether failures are one defect or many.
    private const int MostFailures = 20;

    /// <summary>Runs <paramref name="body"/> for each seed and throws what failed, each with its seed; stops at the twentieth failure.</summary>
    /// <param name="name">The op.</param>
    /// <param name="body">Draws a configuration from the generator and checks it; the seed goes into <see cref="OpCase.Seed"/>.</param>
    public static void Run(string name, Action<Random, int> body)
    {
        int? only = Number(SeedVariable);
        using var pool = only is null ? new PooledErrors() : null;
        var failures = new List<string>();
        Exception? first = null;
        foreach (int s in only is { } seed ? [seed] : Enumerable.Range(1, Count))
        {
            try
            {
                body(new Random(s), s);
            }
            catch (Exception e)
            {
                first ??= e;
                failures.Add($"{name}, random configuration with seed {s} ({SeedVariable}={s} repeats it): {e.Message}");
                if (failures.Count == MostFailures)
                {
                    break;
                }
            }
        }
        if (first is not null)
        {
            throw new ProtocolException(string.Join(Environment.NewLine, failures), first);
        }
        pool?.Check(name);
    }

    /// <summary>One of <paramref name="values"/>.</summary>
    public static T Pick<T>(this Random random, params IReadOnlyList<T> values) => values[random.Next(values.Count)];

    /// <summary>True with probability <paramref name="p"/>.</summary>
    public static bool Chance(this Random random, double p = 0.5) => random.NextDouble() < p;

    private static int? Number(string variable)
    {
        var text = Environment.GetEnvironmentVariable(variable);
        return string.IsNullOrEmpty(text) ? null
            : int.TryParse(text, CultureInfo.InvariantCulture, out int value) && value > 0 ? value
            : throw new ArgumentException($"{variable}={text} is not a positive whole number.");
    }
}
