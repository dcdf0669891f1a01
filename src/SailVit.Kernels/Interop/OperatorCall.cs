using System.Runtime.InteropServices;
using System.Text;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>One call of an operator as the dispatcher hands it over: arguments on a stack, which this side owns.</summary>
/// <remarks>Tensors are handles; absent optionals 0, present ones a cell on the heap; numbers their bits; lists and strings handles.</remarks>
internal readonly unsafe ref struct OperatorCall(ulong* stack, ReadOnlySpan<byte> kinds)
{
    /// <summary>Kinds of arguments: tensor, optional tensor, list, string, optional number, number.</summary>
    public const byte Tensor = (byte)'T', OptionalTensor = (byte)'t', List = (byte)'L', Text = (byte)'s', OptionalNumber = (byte)'n', Number = (byte)'N';

    private readonly ReadOnlySpan<byte> _kinds = kinds;

    public ulong* Stack => stack;

    /// <summary>Handle of a tensor argument; 0 for an absent one.</summary>
    /// <remarks>Autograd passes an absent optional tensor as a present, undefined one.</remarks>
    public nint HandleAt(int i)
    {
        if (_kinds[i] != OptionalTensor)
        {
            return (nint)stack[i];
        }
        nint handle = OptionalHandle(i);
        byte defined;
        return handle != 0 && Shim.aoti_torch_is_defined(handle, &defined) == 0 && defined != 0 ? handle : 0;
    }

    private nint OptionalHandle(int i) => stack[i] == 0 ? 0 : (nint)(*(ulong*)stack[i]);

    /// <summary>A tensor argument of its own, to be disposed; null for an absent one.</summary>
    public Tensor? TensorAt(int i)
    {
        nint handle = HandleAt(i), copy;
        return handle == 0 || Shim.aoti_torch_new_tensor_handle(handle, &copy) != 0 ? null : TorchSharp.torch.Tensor.UnsafeCreateTensor(copy);
    }

    /// <summary>Sizes of a tensor of any layout; null for an absent one.</summary>
    public long[]? SizesAt(int i)
    {
        nint handle = HandleAt(i);
        long rank;
        long* sizes;
        return handle != 0 && Shim.aoti_torch_get_dim(handle, &rank) == 0 && Shim.aoti_torch_get_sizes(handle, &sizes) == 0
            ? new ReadOnlySpan<long>(sizes, (int)rank).ToArray() : null;
    }

    public double NumberAt(int i) => BitConverter.UInt64BitsToDouble(stack[i]);

    public double? OptionalNumberAt(int i) => stack[i] == 0 ? null : *(double*)stack[i];

    public bool FlagAt(int i) => (byte)stack[i] != 0;

    public long[] ListAt(int i)
    {
        nuint size;
        if (Shim.torch_list_size((nint)stack[i], &size) != 0)
        {
            return [];
        }
        var items = new long[size];
        for (nuint j = 0; j < size; j++)
        {
            ulong item;
            _ = Shim.torch_list_get_item((nint)stack[i], j, &item);
            items[j] = (long)item;
        }
        return items;
    }

    public bool TextIs(int i, ReadOnlySpan<byte> expected)
    {
        nuint length;
        byte* characters;
        return Shim.torch_string_length((nint)stack[i], &length) == 0 && Shim.torch_string_c_str((nint)stack[i], &characters) == 0
            && new ReadOnlySpan<byte>(characters, (int)length).SequenceEqual(expected);
    }

    /// <summary>Frees the arguments and leaves results in their place, of which the dispatcher becomes the owner.</summary>
    /// <param name="results">Null for an undefined tensor, as libtorch returns for a gradient that nobody wants.</param>
    public void Return(params ReadOnlySpan<Tensor?> results)
    {
        Free();
        for (int i = 0; i < results.Length; i++)
        {
            nint handle;
            _ = results[i] is { } tensor ? Shim.aoti_torch_new_tensor_handle(tensor.Handle, &handle) : Shim.aoti_torch_new_uninitialized_tensor(&handle);
            stack[i] = (ulong)handle;
        }
    }

    /// <summary>The same with handles, which the dispatcher takes over; 0 for an undefined tensor.</summary>
    public void ReturnHandles(params ReadOnlySpan<nint> results)
    {
        Free();
        for (int i = 0; i < results.Length; i++)
        {
            nint handle = results[i];
            if (handle == 0)
            {
                _ = Shim.aoti_torch_new_uninitialized_tensor(&handle);
            }
            stack[i] = (ulong)handle;
        }
    }

    /// <summary>Undefined results; the arguments are gone.</summary>
    public void SetUndefined(int results)
    {
        for (int i = 0; i < results; i++)
        {
            nint handle;
            _ = Shim.aoti_torch_new_uninitialized_tensor(&handle);
            stack[i] = (ulong)handle;
        }
    }

    /// <summary>Puts a tensor in the place of a result.</summary>
    public void Replace(int i, Tensor result)
    {
        nint handle;
        if (Shim.aoti_torch_new_tensor_handle(result.Handle, &handle) == 0)
        {
            _ = Shim.aoti_torch_delete_tensor_object((nint)stack[i]);
            stack[i] = (ulong)handle;
        }
    }

    private void Free()
    {
        for (int i = 0; i < _kinds.Length; i++)
        {
            switch (_kinds[i])
            {
                case Tensor:
                    _ = Shim.aoti_torch_delete_tensor_object((nint)stack[i]);
                    break;
                case OptionalTensor when stack[i] != 0:
                    _ = Shim.aoti_torch_delete_tensor_object(OptionalHandle(i));
                    NativeMemory.Free((void*)stack[i]);
                    break;
                case OptionalNumber when stack[i] != 0:
                    NativeMemory.Free((void*)stack[i]);
                    break;
                case List:
                    _ = Shim.torch_delete_list((nint)stack[i]);
                    break;
                case Text:
                    _ = Shim.torch_delete_string((nint)stack[i]);
                    break;
            }
        }
    }

    /// <summary>Sizes and dtypes of the tensors, for events.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        for (int i = 0; i < _kinds.Length; i++)
        {
            if (_kinds[i] is Tensor or OptionalTensor && HandleAt(i) is not 0 and var handle && PlainTensor.TryView(handle, out var view))
            {
                text.Append(text.Length > 0 ? ", " : "").Append(view.ToString());
            }
        }
        return text.ToString();
    }
}

/// <summary>Tensors whose elements lie where their strides say, as the kernels need them.</summary>
internal static unsafe partial class PlainTensor
{
    /// <summary>Reads a tensor; false for one that is sparse, has no memory, or stands for the negative of its memory.</summary>
    public static bool TryView(nint handle, out TensorView view)
    {
        int layout;
        byte defined;
        if (Shim.aoti_torch_is_defined(handle, &defined) != 0 || defined == 0 || Shim.aoti_torch_get_layout(handle, &layout) != 0 || layout != 0)
        {
            view = default;
            return false;
        }
        view = new TensorView(handle);
        return view.DeviceType == 0 && (view.Data != null || view.Length == 0) && (HasUnitStride(view) || THSTensor_is_neg(handle) == 0);
    }

    // A negative view is one of imaginary parts: no two of its elements are neighbours.
    private static bool HasUnitStride(in TensorView view) => view.Strides.Contains(1);

    // TorchSharp's own: aten::is_neg through the dispatcher answered wrongly from beneath autograd.
    [LibraryImport("LibTorchSharp")]
    private static partial byte THSTensor_is_neg(nint tensor);
}
