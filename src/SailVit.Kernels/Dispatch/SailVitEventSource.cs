using System.Diagnostics.Tracing;

namespace SailVit.Kernels.Dispatch;

/// <summary>Says which path ran: one event per op call, only while somebody listens (dotnet-trace, EventListener).</summary>
[EventSource(Name = "SailVit")]
public sealed class SailVitEventSource : EventSource
{
    /// <summary>The one instance.</summary>
    public static readonly SailVitEventSource Log = new();

    private SailVitEventSource() { }

    /// <summary>An op ran.</summary>
    /// <param name="op">Its name.</param>
    /// <param name="backend">What computed it.</param>
    /// <param name="shape">Sizes and dtype.</param>
    [Event(1, Level = EventLevel.Informational)]
    public void Dispatched(string op, string backend, string shape) => WriteEvent(1, op, backend, shape);
}
