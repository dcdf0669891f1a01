using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels;

/// <summary>A linear layer's weight laid out for the matrix product, made once and used until the weight changes.</summary>
/// <remarks>
/// Holds a reference to the weight and, from the first call that needs it, a float32 copy in the product's own layout
/// (rows padded to a multiple of 64) outside the garbage collector. Where libtorch makes the product, there is no copy.
/// No gradient reaches the weight through a packed one. Dispose it, or the copy lives until finalisation.
/// </remarks>
public sealed unsafe class PackedWeight : IDisposable
{
    private readonly Tensor[] _weights;
    private readonly long[] _versions;
    private readonly Lock _lock = new();
    private float* _data;
    private int _users;
    private bool _disposed;

    /// <summary>Takes one weight, [out, in].</summary>
    /// <exception cref="ArgumentException">Its rank, dtype or device is not supported.</exception>
    public PackedWeight(Tensor weight)
    {
        CheckWeight(weight, nameof(weight));
        (_weights, _versions) = Hold(weight);
        (OutFeatures, InFeatures) = Features(weight);
    }

    /// <summary>Takes a pair for <c>linear_swiglu</c>, both [out, in].</summary>
    /// <exception cref="ArgumentException">A rank, shape, dtype or device does not agree.</exception>
    public PackedWeight(Tensor gate_weight, Tensor up_weight)
    {
        var gate = CheckWeight(gate_weight, nameof(gate_weight));
        var up = CheckWeight(up_weight, nameof(up_weight));
        Check.Shape(up, gate.Sizes, nameof(up_weight));
        Check.SameDType(up, gate, nameof(up_weight), nameof(gate_weight));
        (_weights, _versions) = Hold(gate_weight, up_weight);
        (OutFeatures, InFeatures) = Features(gate_weight);
    }

    /// <summary>Frees the copy.</summary>
    ~PackedWeight() => Free();

    /// <summary>Columns of the output.</summary>
    public long OutFeatures { get; }

    /// <summary>Columns of the input.</summary>
    public long InFeatures { get; }

    /// <summary>Whether it was made from a gate and an up weight.</summary>
    public bool IsPair => _weights.Length == 2;

    /// <summary>Bytes of the packed copy now; 0 before the first use.</summary>
    public long Bytes => _data == null ? 0 : Floats * sizeof(float);

    internal Tensor Weight => _weights[0];

    internal Tensor UpWeight => _weights[1];

    private long Floats => PackedMatrix.FloatsOf(InFeatures, OutFeatures, _weights.Length);

    /// <summary>Whether it was made from these weights (one, or gate and up), and they have not been modified since.</summary>
    public bool IsCurrent(params ReadOnlySpan<Tensor> weights)
    {
        if (weights.Length != _weights.Length || _disposed)
        {
            return false;
        }
        for (int i = 0; i < weights.Length; i++)
        {
            var (now, held) = (new TensorView(weights[i]), new TensorView(_weights[i]));
            bool same = now.Data == held.Data && now.DType == held.DType && now.Sizes.SequenceEqual(held.Sizes) && now.Strides.SequenceEqual(held.Strides);
            if (!same || TensorVersion.Of(weights[i]) != _versions[i])
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>Frees the copy, once no call on another thread reads it.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _disposed = true;
                FreeIfUnused();
            }
        }
        GC.SuppressFinalize(this);
    }

    /// <exception cref="InvalidOperationException">A weight was modified in place after packing.</exception>
    internal void ThrowIfOutOfDate(string name)
    {
        for (int i = 0; i < _weights.Length; i++)
        {
            if (TensorVersion.Of(_weights[i]) != _versions[i])
            {
                throw new InvalidOperationException($"{name} is out of date: its weight was modified after it was packed. Make a new {nameof(PackedWeight)} after changing the weight.");
            }
        }
    }

    /// <summary>Keeps weights and copy in place until the result is disposed, whatever other threads do.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    internal Use BeginUse()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _users++;
            return new(this);
        }
    }

    /// <summary>The product's layout, packed on first use. Only between <see cref="BeginUse"/> and its end.</summary>
    internal PackedMatrix Matrix()
    {
        lock (_lock)
        {
            if (_data == null)
            {
                _data = (float*)NativeMemory.AlignedAlloc((nuint)Math.Max(Floats, 1) * sizeof(float), 64);
                GC.AddMemoryPressure(Bytes + 1);
                Pack();
            }
            return new(_data, InFeatures, OutFeatures, _weights.Length);
        }
    }

    private void EndUse()
    {
        lock (_lock)
        {
            _users--;
            FreeIfUnused();
        }
    }

    private void FreeIfUnused()
    {
        if (_disposed && _users == 0)
        {
            Free();
            Array.ForEach(_weights, w => w.Dispose());
        }
    }

    /// <summary>A call that reads the weights.</summary>
    internal readonly ref struct Use(PackedWeight owner)
    {
        public void Dispose() => owner.EndUse();
    }

    private void Pack()
    {
        using var first = new TensorMatrix(_weights[0]);
        using var second = IsPair ? new TensorMatrix(_weights[1]) : default;
        var right = IsPair ? RightOperand.TransposedPair(first.View, second.View) : RightOperand.Transposed(first.View);
        right.Pack(0, new(_data, InFeatures, OutFeatures, _weights.Length));
    }

    private void Free()
    {
        if (_data != null)
        {
            GC.RemoveMemoryPressure(Bytes + 1);
            NativeMemory.AlignedFree(_data);
            _data = null;
        }
    }

    private static TensorView CheckWeight(Tensor weight, string name)
    {
        var view = Check.Float(weight, name);
        Check.Rank(view, 2, name, "[out, in]");
        return view;
    }

    private static (Tensor[] Weights, long[] Versions) Hold(params Tensor[] weights)
    {
        // A detached alias shares storage and version; it outlives the caller's dispose scope.
        var held = Array.ConvertAll(weights, w => w.detach().DetachFromDisposeScope());
        return (held, Array.ConvertAll(held, TensorVersion.Of));
    }

    private static (long Out, long In) Features(Tensor weight)
    {
        var view = new TensorView(weight);
        return (view.Size(0), view.Size(1));
    }
}
