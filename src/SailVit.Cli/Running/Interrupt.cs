using System.Runtime.InteropServices;

namespace SailVit.Cli.Running;

/// <summary>Turns Ctrl+C and a polite kill into a cancellation, so that a long job can clean up.</summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _signals;

    public Interrupt() => _signals = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM }.Select(signal => PosixSignalRegistration.Create(signal, OnSignal))];

    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (var signal in _signals)
        {
            signal.Dispose();
        }
        _source.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        // The second time, the process ends at once.
        context.Cancel = !_source.IsCancellationRequested;
        _source.Cancel();
    }
}
