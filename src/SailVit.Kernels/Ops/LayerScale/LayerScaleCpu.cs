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
        using var lease = Workspace.Rent(a.Width * sizeof(float));
        float* gamma = PairOrder.Of<S, V, T>(a.Gamma, a.Width, lease.Floats);
        for (long row = begin; row < end; row++)
        {
            byte* residual = a.Residual + (row * a.ResidualStride * T.Size);
            byte* branch = a.Branch + (row * a.BranchStride * T.Size);
            byte* y = a.Y + (row * a.Width * T.Size);
            float keep = a.KeepOf(row);
            long i = 0;
            for (; i + (2 * S.Width) <= a.Width; i += 2 * S.Width)
            {
                T.LoadPair<S, V>(branch, i, out var b0, out var b1);
                T.LoadPair<S, V>(residual, i, out var r0, out var r1);
                T.StorePair<S, V>(y, i, S.Fma(Scale<S, V>(gamma, keep, i), b0, r0), S.Fma(Scale<S, V>(gamma, keep, i + S.Width), b1, r1));
            }
            for (; i + S.Width <= a.Width; i += S.Width)
            {
                Single<S, V>(residual, branch, y, gamma, keep, i);
            }
            for (; i < a.Width; i++)
            {
                Single<SimdScalar, float>(residual, branch, y, gamma, keep, i);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Single<S, V>(byte* residual, byte* branch, byte* y, float* gamma, float keep, long i) where S : struct, ISimd<V> where V : unmanaged =>
        T.Store<S, V>(y, i, S.Fma(Scale<S, V>(gamma, keep, i), T.Load<S, V>(branch, i), T.Load<S, V>(residual, i)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Scale<S, V>(float* gamma, float keep, long i) where S : struct, ISimd<V> where V : unmanaged =>
        gamma == null ? S.Create(keep) : S.Mul(S.Create(keep), S.Load(gamma + i));
}

/// <summary>Gradients of chunks [begin, end) of rows: d branch = keep·γ·dy, dγ = Σ keep·branch·dy.</summary>
internal readonly unsafe struct LayerScaleBackward<T>(LayerScaleArgs a) : ICpuKernel where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var lease = Workspace.Rent(2 * a.Width * sizeof(float));
        float* gamma = PairOrder.Of<S, V, T>(a.Gamma, a.Width, lease.Floats);
        float* sums = a.Partials == null ? null : lease.Floats + a.Width;
        for (long chunk = begin; chunk < end; chunk++)
        {
            if (sums != null)
            {
                NativeMemory.Clear(sums, (nuint)(a.Width * sizeof(float)));
            }
            long stop = Math.Min(a.Rows, (chunk + 1) * a.RowsPerChunk);
            for (long row = chunk * a.RowsPerChunk; row < stop; row++)
            {
                Row<S, V>(row, gamma, sums);
            }
            if (sums != null)
            {
                PairOrder.Undo<S, V, T>(sums, a.Width, a.Partials + (chunk * a.Width));
            }
        }
    }

    private void Row<S, V>(long row, float* gamma, float* sums) where S : struct, ISimd<V> where V : unmanaged
    {
        byte* branch = a.Branch + (row * a.BranchStride * T.Size);
        byte* dy = a.Dy + (row * a.DyStride * T.Size);
        byte* dBranch = a.Y == null ? null : a.Y + (row * a.Width * T.Size);
        float keep = a.KeepOf(row);
        long i = 0;
        for (; i + (2 * S.Width) <= a.Width; i += 2 * S.Width)
        {
            Pair<S, V>(branch, dy, dBranch, gamma, sums, keep, i);
        }
        for (; i + S.Width <= a.Width; i += S.Width)
        {
            Single<S, V>(branch, dy, dBranch, gamma, sums, keep, i);
        }
        for (; i < a.Width; i++)
        {
            Single<SimdScalar, float>(branch, dy, dBranch, gamma, sums, keep, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair<S, V>(byte* branch, byte* dy, byte* dBranch, float* gamma, float* sums, float keep, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        T.LoadPair<S, V>(dy, i, out var d0, out var d1);
        V kept0 = S.Mul(S.Create(keep), d0), kept1 = S.Mul(S.Create(keep), d1);
        if (sums != null)
        {
            T.LoadPair<S, V>(branch, i, out var b0, out var b1);
            Add<S, V>(sums + i, kept0, b0);
            Add<S, V>(sums + i + S.Width, kept1, b1);
        }
        if (dBranch != null)
        {
            T.StorePair<S, V>(dBranch, i, Scaled<S, V>(kept0, gamma, i), Scaled<S, V>(kept1, gamma, i + S.Width));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Single<S, V>(byte* branch, byte* dy, byte* dBranch, float* gamma, float* sums, float keep, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        var kept = S.Mul(S.Create(keep), T.Load<S, V>(dy, i));
        if (sums != null)
        {
            Add<S, V>(sums + i, kept, T.Load<S, V>(branch, i));
        }
        if (dBranch != null)
        {
            T.Store<S, V>(dBranch, i, Scaled<S, V>(kept, gamma, i));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<S, V>(float* sums, V kept, V branch) where S : struct, ISimd<V> where V : unmanaged =>
        S.Store(sums, S.Fma(kept, branch, S.Load(sums)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Scaled<S, V>(V kept, float* gamma, long i) where S : struct, ISimd<V> where V : unmanaged =>
        gamma == null ? kept : S.Mul(kept, S.Load(gamma + i));
}
