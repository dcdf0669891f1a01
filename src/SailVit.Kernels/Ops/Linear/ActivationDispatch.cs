using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>A call that is generic over one activation F. P: the same for devices.</summary>
internal interface IActivationCall
{
    void Invoke<F, P>() where F : unmanaged, ISimdActivation where P : unmanaged, ISimdActivation;
}

/// <summary>Turns the run-time choice into a type argument.</summary>
internal static class ActivationDispatch
{
    public static void For<C>(Activation activation, C call) where C : struct, IActivationCall
    {
        switch (activation)
        {
            case Activation.None:
                call.Invoke<Identity, Identity>();
                break;
            case Activation.Gelu:
                call.Invoke<GeluErf, GeluErfPortable>();
                break;
            case Activation.GeluTanh:
                call.Invoke<GeluTanh, GeluTanh>();
                break;
            case Activation.Silu:
                call.Invoke<Silu, Silu>();
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
