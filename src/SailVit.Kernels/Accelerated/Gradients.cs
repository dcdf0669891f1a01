using System.Text;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>What a call within a backward pass has to return: autograd reads an undefined gradient as zeros, so one that
/// is missing because a kernel failed must not reach it.</summary>
internal readonly unsafe ref struct Gradients
{
    private readonly long[]?[] _sizes;
    private readonly ScalarType _dtype;

    /// <summary>Reads the call before a kernel takes its arguments over.</summary>
    /// <param name="call">Its first argument is a tensor of the gradients' dtype.</param>
    /// <param name="sizes">Of every gradient; null for one that may be undefined.</param>
    public Gradients(in OperatorCall call, long[]?[] sizes)
    {
        int dtype;
        _sizes = sizes;
        _dtype = Shim.aoti_torch_get_dtype(call.HandleAt(0), &dtype) == 0 ? (ScalarType)dtype : float32;
    }

    /// <summary>Puts refused gradients (see <see cref="BackwardException"/>) where results are undefined that must not be.</summary>
    public void RefuseUndefined(in OperatorCall call, ReadOnlySpan<byte> name)
    {
        for (int i = 0; i < _sizes.Length; i++)
        {
            byte defined;
            if (_sizes[i] is { } sizes && Shim.aoti_torch_is_defined((nint)call.Stack[i], &defined) == 0 && defined == 0)
            {
                BackwardException.Keep(Encoding.UTF8.GetString(name[..^1]), new InvalidOperationException(StockOperators.TakeMessage()));
                using var refused = BackwardException.RefusedGradient(sizes, _dtype);
                call.Replace(i, refused);
            }
        }
    }
}
