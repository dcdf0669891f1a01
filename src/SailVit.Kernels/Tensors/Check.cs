using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tensors;

/// <summary>Argument checks, all made before anything is allocated. Messages say what it is and what it must be.</summary>
internal static class Check
{
    /// <summary>A live tensor on the CPU with a storage that kernels can read.</summary>
    public static TensorView View([NotNull] Tensor? tensor, [CallerArgumentExpression(nameof(tensor))] string name = "")
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        // A libtorch that was asked for by name and is not there: TorchSharp may have found another by itself.
        LibTorch.EnsureLoaded();
        if (tensor.IsInvalid)
        {
            throw new ObjectDisposedException(name, $"{name} has been disposed; keep it alive (DetachFromDisposeScope) until the op has run.");
        }
        var view = new TensorView(tensor, name);
        Dispatcher.For(view, name);
        return view;
    }

    /// <summary>float32, bfloat16 or float16.</summary>
    public static TensorView Float([NotNull] Tensor? tensor, [CallerArgumentExpression(nameof(tensor))] string name = "")
    {
        var view = View(tensor, name);
        if (view.DType is not (DType.Float32 or DType.BFloat16 or DType.Float16))
        {
            Throw(name, $"has dtype {view.DType}; it must be Float32, BFloat16 or Float16. Convert it with .to(dtype).");
        }
        return view;
    }

    public static void SameDType(in TensorView view, in TensorView other, string name, string otherName)
    {
        if (view.DType != other.DType)
        {
            Throw(name, $"has dtype {view.DType}, but {otherName} has {other.DType}; they must be the same. Convert one with .to(dtype).");
        }
    }

    public static void Shape(in TensorView view, ReadOnlySpan<long> shape, string name)
    {
        if (!view.Sizes.SequenceEqual(shape))
        {
            Throw(name, $"has shape {Show(view.Sizes)}; it must be {Show(shape)}.");
        }
    }

    /// <summary>A parameter of the given shape, in the input's dtype or float32.</summary>
    public static void Parameter(Tensor parameter, in TensorView input, ReadOnlySpan<long> shape, string name)
    {
        var view = Float(parameter, name);
        Shape(view, shape, name);
        if (view.DType != input.DType && view.DType != DType.Float32)
        {
            Throw(name, $"has dtype {view.DType}; it must have the input's dtype {input.DType}, or Float32. Convert it with .to(dtype).");
        }
    }

    public static void MinRank(in TensorView view, int rank, string name, string layout)
    {
        if (view.Rank < rank)
        {
            Throw(name, $"has shape {Show(view.Sizes)}; it must have at least {rank} dimensions, {layout}.");
        }
    }

    public static void Rank(in TensorView view, int rank, string name, string layout)
    {
        if (view.Rank != rank)
        {
            Throw(name, $"has shape {Show(view.Sizes)}; it must have {rank} dimensions, {layout}.");
        }
    }

    public static string Show(ReadOnlySpan<long> sizes) => $"[{string.Join(", ", sizes.ToArray())}]";

    /// <summary>Throws with the argument's name in front: "<c>weight</c> has shape …".</summary>
    [DoesNotReturn]
    public static void Throw(string name, string problem) => throw new ArgumentException($"{name} {problem}", name);
}
