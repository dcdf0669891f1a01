using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tensors;

/// <summary>A parameter vector as float32: read in place if it is that already, else widened into workspace.</summary>
/// <remarks>Kernels then have one element type fewer to know; the copy is one row beside the many they process.</remarks>
internal readonly unsafe ref struct FloatRow
{
    private readonly Workspace.Lease _lease;
    private readonly Tensor? _parameter;

    /// <summary>Null stands for an absent parameter: its pointer is null, or a row of <paramref name="absent"/> if that is given.</summary>
    public FloatRow(Tensor? parameter, long width, float? absent = null)
    {
        // Rented in any case: leases must end in reverse order.
        _lease = Workspace.Rent(width * sizeof(float));
        _parameter = parameter;
        if (parameter is null)
        {
            if (absent is { } value)
            {
                new Span<float>(_lease.Floats, checked((int)width)).Fill(value);
                Data = _lease.Floats;
            }
            return;
        }
        using var row = Rows.Of(parameter, int.MaxValue);
        if (row.DType == DType.Float32 && !row.IsCopy)
        {
            Data = (float*)row.Data;
            return;
        }
        ElementDispatch.For(row.DType, new Widen(row.Data, _lease.Floats, width));
        Data = _lease.Floats;
    }

    public float* Data { get; }

    public void Dispose()
    {
        _lease.Dispose();
        // A parameter that is read in place lives until here.
        GC.KeepAlive(_parameter);
    }

    private readonly struct Widen(byte* source, float* result, long width) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement
        {
            for (long i = 0; i < width; i++)
            {
                result[i] = T.Load<SimdScalar, float>(source, i);
            }
        }
    }
}
