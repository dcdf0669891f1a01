using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>A call that is generic over one activation.</summary>
internal interface IActivationCall
{
    void Invoke<F>() where F : unmanaged, ISimdActivation;
}

/// <summary>Turns the run-time choice into a type argument.</summary>
internal static class ActivationDispatch
{
    public static void For<C>(Activation activation, C call) where C : struct, IActivationCall
    {
        switch (activation)
        {
            case Activation.None:
                call.Invoke<Identity>();
                break;
            case Activation.Gelu:
                call.Invoke<GeluErf>();
                break;
            case Activation.GeluTanh:
                call.Invoke<GeluTanh>();
                break;
            case Activation.Silu:
                call.Invoke<Silu>();
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(activation), activation, "There is no such activation; use None, Gelu, GeluTanh or Silu.");
        }
    }
}

/// <summary>No activation.</summary>
internal readonly struct Identity : ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Create(1f);
}
