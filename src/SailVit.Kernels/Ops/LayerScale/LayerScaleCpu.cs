using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.LayerScale;

/// <summary>Arguments of both kernels. Strides are in elements; outputs are row-major.</summary>
internal unsafe struct LayerScaleArgs
{
    /// <summary>Residual stream; forward only.</summary>
    public byte* Residual;
    public long ResidualStride;
    public byte* Branch;
    public long BranchStride;

    /// <summary>[Width] float32; null for 1.</summary>
    public float* Gamma;

    /// <summary>[samples] float32: keep / (1 − p) of each sample; null for 1.</summary>
    public float* Keep;
    public long RowsPerSample;

    /// <summary>Forward: the output. Backward: the gradient of the branch, null if not wanted.</summary>
    public byte* Y;

    /// <summary>Incoming gradient; backward only.</summary>
    public byte* Dy;
    public long DyStride;

    /// <summary>[Chunks, Width]: dγ of each chunk of rows; backward only, null if not wanted.</summary>
    public float* Partials;
    public long RowsPerChunk;
    public long Rows;
    public long Width;

    public readonly float KeepOf(long row) => Keep == null ? 1 : Keep[row / RowsPerSample];
}

/// <summary>Rows [begin, end) of y = residual + keep·γ·branch.</summary>
internal readonly unsafe struct LayerScaleForward<T>(LayerScaleArgs a) : ICpuKernel where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long row = begin; row < end; row++)
        {
            byte* residual = a.Residual + (row * a.ResidualStride * T.Size);
            byte* branch = a.Branch + (row * a.BranchStride * T.Size);
            byte* y = a.Y + (row * a.Width * T.Size);
            float keep = a.KeepOf(row);
            long i = 0;
            for (; i + S.Width <= a.Width; i += S.Width)
            {
                At<S, V>(residual, branch, y, keep, i);
            }
            for (; i < a.Width; i++)
            {
                At<SimdScalar, float>(residual, branch, y, keep, i);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void At<S, V>(byte* residual, byte* branch, byte* y, float keep, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        var scale = S.Create(keep);
        if (a.Gamma != null)
        {
            scale = S.Mul(scale, S.Load(a.Gamma + i));
        }
        T.Store<S, V>(y, i, S.Fma(scale, T.Load<S, V>(branch, i), T.Load<S, V>(residual, i)));
    }
}

/// <summary>Gradients of chunks [begin, end) of rows: d branch = keep·γ·dy, dγ = Σ keep·branch·dy.</summary>
internal readonly unsafe struct LayerScaleBackward<T>(LayerScaleArgs a) : ICpuKernel where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long chunk = begin; chunk < end; chunk++)
        {
            float* partial = a.Partials == null ? null : a.Partials + (chunk * a.Width);
            if (partial != null)
            {
                NativeMemory.Clear(partial, (nuint)(a.Width * sizeof(float)));
            }
            long stop = Math.Min(a.Rows, (chunk + 1) * a.RowsPerChunk);
            for (long row = chunk * a.RowsPerChunk; row < stop; row++)
            {
                Row<S, V>(row, partial);
            }
        }
    }

    private void Row<S, V>(long row, float* partial) where S : struct, ISimd<V> where V : unmanaged
    {
        byte* branch = a.Branch + (row * a.BranchStride * T.Size);
        byte* dy = a.Dy + (row * a.DyStride * T.Size);
        byte* dBranch = a.Y == null ? null : a.Y + (row * a.Width * T.Size);
        float keep = a.KeepOf(row);
        long i = 0;
        for (; i + S.Width <= a.Width; i += S.Width)
        {
            At<S, V>(branch, dy, dBranch, partial, keep, i);
        }
        for (; i < a.Width; i++)
        {
            At<SimdScalar, float>(branch, dy, dBranch, partial, keep, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void At<S, V>(byte* branch, byte* dy, byte* dBranch, float* partial, float keep, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        var kept = S.Mul(S.Create(keep), T.Load<S, V>(dy, i));
        if (partial != null)
        {
            S.Store(partial + i, S.Fma(kept, T.Load<S, V>(branch, i), S.Load(partial + i)));
        }
        if (dBranch != null)
        {
            T.Store<S, V>(dBranch, i, a.Gamma == null ? kept : S.Mul(kept, S.Load(a.Gamma + i)));
        }
    }
}
