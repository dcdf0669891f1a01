using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Language;

/// <summary>Cosines and sines of the rotary angles, [P, D/2] float32: position · theta^(−2i/D).</summary>
/// <remarks>Angles are computed in float64: in float32 the angle of position 30,000 is off by 1e-3. Grows to the positions
/// that are asked for.</remarks>
internal sealed class RotaryTable(int headDim, double theta) : IDisposable
{
    private const long FirstPositions = 512;

    private readonly Lock _lock = new();
    private Tensor? _cos;
    private Tensor? _sin;

    /// <summary>Tables with at least so many positions; aliases, which the caller's scope disposes.</summary>
    public (Tensor Cos, Tensor Sin) For(long positions)
    {
        lock (_lock)
        {
            if (_cos is null || _sin is null || _cos.shape[0] < positions)
            {
                Dispose();
                (_cos, _sin) = Make(Math.Max(FirstPositions, (long)System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)positions)));
            }
            return (_cos.alias(), _sin.alias());
        }
    }

    private (Tensor Cos, Tensor Sin) Make(long positions)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using Scalar pairs = headDim / 2, exponent = -2.0 / headDim, end = positions;
        var frequencies = tensor(theta, float64).pow(arange(HeldScalar.Zero, pairs, HeldScalar.One, dtype: float64).mul(exponent));
        var angles = outer(arange(HeldScalar.Zero, end, HeldScalar.One, dtype: float64), frequencies);
        return (angles.cos().to(float32).DetachFromDisposeScope(), angles.sin().to(float32).DetachFromDisposeScope());
    }

    public void Dispose()
    {
        _cos?.Dispose();
        _sin?.Dispose();
        (_cos, _sin) = (null, null);
    }
}
