using SailVit.Bench.Measuring;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Onnx;

/// <summary>Our inference against ONNX Runtime's.</summary>
internal sealed class OnnxPair : BenchPair
{
    private readonly Func<Tensor> _ours;
    private readonly Func<Tensor> _reference;
    private readonly OnnxSession _session;
    private readonly IDisposable[] _owned;

    /// <summary>Takes both sides.</summary>
    /// <param name="ours">Our call.</param>
    /// <param name="session">ONNX Runtime's.</param>
    /// <param name="reference">The result in float64.</param>
    /// <param name="owned">What is disposed with the pair.</param>
    public OnnxPair(Func<Tensor> ours, OnnxSession session, Func<Tensor> reference, params IDisposable[] owned) =>
        (_ours, _session, _reference, _owned) = (ours, session, reference, owned);

    public override Tensor[] Ours()
    {
        using var noGrad = no_grad();
        return [_ours()];
    }

    public override Tensor[] Stock() => [_session.Run()];

    public override void Settle() => Thread.Sleep(DevicePair.SpinningEnds);

    public override (double? Ours, double? Stock) Errors()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        Tensor[] reference = [_reference()];
        return (RelativeError.Worst(Ours(), reference), RelativeError.Worst(Stock(), reference));
    }

    protected override void Dispose(bool disposing)
    {
        _session.Dispose();
        Array.ForEach(_owned, one => one.Dispose());
        WarmMemory.Release();
    }
}
