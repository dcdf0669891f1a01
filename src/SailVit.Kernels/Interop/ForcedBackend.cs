namespace SailVit.Kernels.Interop;

/// <summary>The backend that <c>Dispatcher.Use</c> sets for a thread; null without it.</summary>
/// <remarks>It lies below the dispatcher because <see cref="OpFunction{TSelf, TState}"/> gives an op's backward pass what its forward
/// pass was told: gradients may be asked for after the scope has ended, in another one, or on another thread.</remarks>
internal static class ForcedBackend
{
    [ThreadStatic]
    private static int? _ofThread;

    public static int? OfThread => _ofThread;

    /// <summary>Sets it for this thread until the result is disposed.</summary>
    public static IDisposable Use(int? backend)
    {
        var scope = new Scope(_ofThread);
        _ofThread = backend;
        return scope;
    }

    private sealed class Scope(int? previous) : IDisposable
    {
        public void Dispose() => _ofThread = previous;
    }
}
