using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Results must be the same to the last bit, run after run and for any number of threads.</summary>
public static class Determinism
{
    /// <summary>Repeats of the test protocol.</summary>
    public const int Repeats = 250;

    private static readonly Lock ThreadCount = new();

    /// <summary>Runs <paramref name="work"/> <paramref name="repeats"/> times and compares all results with the first.</summary>
    /// <param name="name">For the message.</param>
    /// <param name="work">Returns outputs and gradients, newly computed.</param>
    /// <param name="repeats">How often.</param>
    public static void Check(string name, Func<Tensor[]> work, int repeats = Repeats)
    {
        using var scope = NewDisposeScope();
        var first = work();
        for (int i = 1; i < repeats; i++)
        {
            using var inner = NewDisposeScope();
            Compare($"{name}, run {i} against run 0", work(), first);
        }
    }

    /// <summary>Runs <paramref name="work"/> with 1, 2, 3, 5 and 8 threads and compares the results.</summary>
    public static void CheckThreads(string name, Func<Tensor[]> work)
    {
        // The number of threads is libtorch's global state.
        lock (ThreadCount)
        {
            int threads = get_num_threads();
            try
            {
                using var scope = NewDisposeScope();
                set_num_threads(1);
                var first = work();
                foreach (int count in (int[])[2, 3, 5, 8])
                {
                    set_num_threads(count);
                    using var inner = NewDisposeScope();
                    Compare($"{name}, {count} threads against 1", work(), first);
                }
            }
            finally
            {
                set_num_threads(threads);
            }
        }
    }

    private static void Compare(string name, Tensor[] results, Tensor[] first)
    {
        if (results.Length != first.Length)
        {
            throw new ProtocolException($"{name}: {results.Length} results against {first.Length}.");
        }
        for (int i = 0; i < first.Length; i++)
        {
            if (Bits.FirstDifference(results[i], first[i]) is { } difference)
            {
                throw new ProtocolException($"{name}: result {i} differs, {difference}.");
            }
        }
    }
}
