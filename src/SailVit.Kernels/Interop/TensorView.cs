using System.Runtime.CompilerServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>Element types with libtorch's own codes; those that no kernel takes are here for messages.</summary>
internal enum DType
{
    UInt8 = 0,
    Int8 = 1,
    Int16 = 2,
    Int32 = 3,
    Int64 = 4,
    Float16 = 5,
    Float32 = 6,
    Float64 = 7,
    Complex32 = 8,
    Complex64 = 9,
    Complex128 = 10,
    Bool = 11,
    BFloat16 = 15,
}

internal static class DTypes
{
    /// <summary>Bytes per element.</summary>
    public static int Size(this DType dtype) => dtype switch
    {
        DType.Float64 or DType.Int64 => 8,
        DType.Float32 or DType.Int32 => 4,
        DType.Float16 or DType.BFloat16 or DType.Int16 => 2,
        _ => 1,
    };
}

/// <summary>What a kernel needs to know of a tensor, read through the C shim in tens of nanoseconds
/// (TorchSharp's <c>shape</c> and <c>stride()</c> cost about 1 µs each).</summary>
/// <remarks>Sizes and strides point into the tensor: valid only while the tensor lives. Strides are in elements.</remarks>
internal readonly unsafe struct TensorView
{
    private const int StridedLayout = 0;

    private readonly long* _sizes;
    private readonly long* _strides;

    public readonly byte* Data;
    public readonly long Length;
    public readonly int Rank;
    public readonly DType DType;

    /// <summary>0 CPU, 1 CUDA (c10::DeviceType).</summary>
    public readonly int DeviceType;

    /// <summary>-1 for the CPU.</summary>
    public readonly int DeviceIndex;

    public TensorView(Tensor tensor, string name = "tensor") : this(tensor.Handle, name)
    {
    }

    /// <summary>Reads an <c>at::Tensor*</c>, which stays the caller's.</summary>
    public TensorView(nint tensor, string name = "tensor")
    {
        void* data;
        long dim, numel;
        long* sizes, strides;
        int layout, dtype, deviceType, deviceIndex;
        // The layout first: without a storage, the other calls would also write libtorch's backtrace to standard error.
        int status = Shim.aoti_torch_get_layout(tensor, &layout);
        if (status != 0 || layout != StridedLayout)
        {
            throw new ArgumentException($"{name} is not a dense strided tensor with storage (sparse and nested tensors have none); convert it with to_dense() first.", name);
        }
        status = Shim.aoti_torch_get_data_ptr(tensor, &data)
            | Shim.aoti_torch_get_dim(tensor, &dim)
            | Shim.aoti_torch_get_numel(tensor, &numel)
            | Shim.aoti_torch_get_sizes(tensor, &sizes)
            | Shim.aoti_torch_get_strides(tensor, &strides)
            | Shim.aoti_torch_get_dtype(tensor, &dtype)
            | Shim.aoti_torch_get_device_type(tensor, &deviceType)
            | Shim.aoti_torch_get_device_index(tensor, &deviceIndex);
        if (status != 0)
        {
            throw new ArgumentException($"libtorch does not say where the elements of {name} lie; see its own message on standard error.", name);
        }
        Data = (byte*)data;
        Rank = (int)dim;
        Length = numel;
        _sizes = sizes;
        _strides = strides;
        DType = (DType)dtype;
        DeviceType = deviceType;
        DeviceIndex = deviceIndex;
    }

    public ReadOnlySpan<long> Sizes => new(_sizes, Rank);

    public ReadOnlySpan<long> Strides => new(_strides, Rank);

    /// <summary>Size of a dimension; negative counts from the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Size(int dim) => _sizes[dim < 0 ? Rank + dim : dim];

    /// <summary>Stride of a dimension in elements; negative counts from the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Stride(int dim) => _strides[dim < 0 ? Rank + dim : dim];

    /// <summary>Elements of memory from the first element to the last, with what lies between them.</summary>
    public long Extent
    {
        get
        {
            long extent = Length == 0 ? 0 : 1;
            for (int d = 0; d < Rank && extent > 0; d++)
            {
                extent += (Size(d) - 1) * Stride(d);
            }
            return extent;
        }
    }

    /// <summary>Whether elements lie in row-major order without gaps. Strides of size-1 dimensions do not count.</summary>
    public bool IsContiguous
    {
        get
        {
            long expected = 1;
            for (int d = Rank - 1; d >= 0; d--)
            {
                if (_sizes[d] != 1 && _strides[d] != expected)
                {
                    return Length == 0;
                }
                expected *= _sizes[d];
            }
            return true;
        }
    }

    /// <summary>The tensor read as [rows, last size]; true when one row stride reaches all rows and channels are adjacent.</summary>
    public bool TryRows(out long rows, out long width, out long rowStride)
    {
        width = Rank == 0 ? 1 : _sizes[Rank - 1];
        rows = width == 0 ? 0 : Length / width;
        rowStride = width;
        if (Length == 0)
        {
            return true;
        }
        if (Rank > 0 && width != 1 && _strides[Rank - 1] != 1)
        {
            return false;
        }
        long expected = -1;
        for (int d = Rank - 2; d >= 0; d--)
        {
            if (_sizes[d] == 1)
            {
                continue;
            }
            if (expected < 0)
            {
                rowStride = _strides[d];
            }
            else if (_strides[d] != expected)
            {
                return false;
            }
            expected = _strides[d] * _sizes[d];
        }
        return true;
    }

    private string DeviceName => DeviceType switch
    {
        0 => "cpu",
        1 => $"cuda:{DeviceIndex}",
        14 => "meta",
        _ => $"device type {DeviceType}",
    };

    public override string ToString() => $"[{string.Join(", ", Sizes.ToArray())}] {DType} on {DeviceName}";
}

/// <summary>Tensors allocated by libtorch, so that its allocator and streams stay in charge.</summary>
internal static unsafe class Allocate
{
    /// <summary>Told of each tensor that is allocated on this thread, if anybody is.</summary>
    [ThreadStatic]
    internal static Action<Tensor>? Listener;

    /// <summary>Tells nobody until the result is disposed.</summary>
    public static Silence Unheard() => new(Listener);

    /// <summary>A new uninitialised row-major tensor on the device of <paramref name="like"/>.</summary>
    public static Tensor Empty(ReadOnlySpan<long> sizes, DType dtype, in TensorView like) => Empty(sizes, dtype, like.DeviceType, like.DeviceIndex);

    /// <summary>A new uninitialised row-major tensor.</summary>
    public static Tensor Empty(ReadOnlySpan<long> sizes, DType dtype, int deviceType = 0, int deviceIndex = -1)
    {
        Span<long> strides = stackalloc long[sizes.Length];
        long stride = 1;
        for (int d = sizes.Length - 1; d >= 0; d--)
        {
            strides[d] = stride;
            stride *= Math.Max(sizes[d], 1);
        }
        nint handle;
        fixed (long* size = sizes, step = strides)
        {
            if (Shim.aoti_torch_empty_strided(sizes.Length, size, step, (int)dtype, deviceType, deviceIndex, &handle) != 0)
            {
                throw new InsufficientMemoryException($"libtorch could not allocate a tensor of shape [{string.Join(", ", sizes.ToArray())}], {dtype}. Use a smaller batch or free tensors that are no longer needed.");
            }
        }
        var tensor = Tensor.UnsafeCreateTensor(handle);
        Listener?.Invoke(tensor);
        return tensor;
    }

    /// <summary>While it lasts nobody is told.</summary>
    public readonly ref struct Silence
    {
        private readonly Action<Tensor>? _listener;

        public Silence(Action<Tensor>? listener) => (_listener, Listener) = (listener, null);

        public void Dispose() => Listener = _listener;
    }
}
