using System.Diagnostics.Tracing;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>A stock TorchSharp function with and without the accelerator, both held against float64 by the protocol.</summary>
internal static class AcceleratedCheck
{
    /// <summary>Runs forward and backward three times: stock in float64, stock, accelerated.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="op">Stock functions only; must not name a dtype.</param>
    /// <param name="inputs">Every one gets a gradient.</param>
    /// <returns>What ran, as "op:backend", in order.</returns>
    public static IReadOnlyList<string> Run(string name, Func<Tensor[], Tensor> op, params Tensor[] inputs)
    {
        var reference = Pass(op, Array.ConvertAll(inputs, t => t.to(float64)));
        var stock = Pass(op, inputs);
        using var events = new Events();
        Tensor[] ours;
        using (Accelerator.Install())
        {
            ours = Pass(op, inputs);
        }
        for (int i = 0; i < ours.Length; i++)
        {
            Protocol.Check($"{name}, {(i == 0 ? "output" : $"gradient of input {i - 1}")}", ours[i], stock[i], reference[i]);
        }
        return events.Ran;
    }

    /// <summary>Output and gradients under a gradient of distinct values.</summary>
    public static Tensor[] Pass(Func<Tensor[], Tensor> op, Tensor[] inputs)
    {
        var leaves = Array.ConvertAll(inputs, t => t.detach().requires_grad_());
        var y = op(leaves);
        y.backward([(arange(y.numel(), dtype: float32) * 0.37).cos().reshape(y.shape).to(y.dtype)]);
        return [y.detach(), .. leaves.Select(l => l.grad!)];
    }

    /// <summary>Collects which kernel computed each operator.</summary>
    public sealed class Events : EventListener
    {
        private readonly List<string> _ran = [];

        public IReadOnlyList<string> Ran
        {
            get
            {
                lock (_ran)
                {
                    return [.. _ran];
                }
            }
        }

        protected override void OnEventSourceCreated(EventSource eventSource)
        {
            if (eventSource.Name == "SailVit")
            {
                EnableEvents(eventSource, EventLevel.Informational);
            }
        }

        protected override void OnEventWritten(EventWrittenEventArgs eventData)
        {
            if (_ran is not null && eventData.EventName == "Dispatched" && eventData.Payload is [string op, string backend, ..] && op.StartsWith("aten::", StringComparison.Ordinal))
            {
                lock (_ran)
                {
                    _ran.Add($"{op["aten::".Length..]}:{backend}");
                }
            }
        }
    }
}
