using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>y = F(sums + bias) + residual; optionally keeps sums + bias for the backward pass.</summary>
internal readonly unsafe struct LinearEpilogue<T, F> : IEpilogue
    where T : unmanaged, IElement
    where F : unmanaged, ISimdActivation
{
    /// <summary>Float32, readable up to a multiple of 64 columns; null for none.</summary>
    public float* Bias { get; init; }

    /// <summary>Of the output's shape; no data for none.</summary>
    public MatrixView Residual { get; init; }

    /// <summary>Row-major [rows, columns]; null where no backward pass will follow.</summary>
    public byte* BeforeActivation { get; init; }

    /// <summary>Row-major [rows, columns].</summary>
    public required byte* Output { get; init; }

    public required long Columns { get; init; }

    public LinesAhead Ahead(long row, long column, int matrix)
    {
        long at = ((row * Columns) + column) * T.Size;
        bool addsRows = Residual.Data != null && Residual.Data != Output && Residual.IsContiguous && Residual.Columns == Columns;
        byte* second = BeforeActivation != null ? BeforeActivation : addsRows ? Residual.Data : null;
        return new(Output + at, second == null ? null : second + at, Columns * T.Size, PackedMatrix.StripColumns * T.Size);
    }

    public SumPlace InPlace(long row, long column)
    {
        // Longer rows lie so far apart that a block of them shares too few sets of the second cache for several sums over K.
        bool plain = Columns <= 512 && typeof(T) == typeof(F32) && typeof(F) == typeof(Identity) && Bias == null && BeforeActivation == null && Residual.Data == null;
        return plain ? new((float*)Output + (row * Columns) + column, (int)Columns) : default;
    }

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged
    {
        long at = (row * Columns) + column;
        if (Bias != null)
        {
            EpilogueRow.Add<S, V>(sums, Bias + column);
        }
        if (BeforeActivation != null)
        {
            RowStore.Run<S, V, T>(sums, columns, BeforeActivation, at);
        }
        for (int i = 0; i < columns; i += S.Width)
        {
            S.Store(sums + i, F.Value<S, V>(S.Load(sums + i)));
        }
        if (Residual.Data != null)
        {
            float* residual = stackalloc float[PackedMatrix.StripColumns];
            Residual.CopyRow<S, V>(row, column, columns, residual);
            EpilogueRow.Add<S, V>(sums, residual);
        }
        RowStore.Run<S, V, T>(sums, columns, Output, at);
    }
}

/// <summary>y = silu(gate + gateBias)·(up + upBias); optionally keeps both factors before the activation.</summary>
internal readonly unsafe struct SwiGluEpilogue<T> : IEpilogue where T : unmanaged, IElement
{
    /// <summary>Float32, readable up to a multiple of 64 columns; null for none.</summary>
    public float* GateBias { get; init; }

    public float* UpBias { get; init; }

    /// <summary>Row-major [rows, columns]; null, both, where no backward pass will follow.</summary>
    public byte* Gate { get; init; }

    public byte* Up { get; init; }

    /// <summary>Row-major [rows, columns].</summary>
    public required byte* Output { get; init; }

    public required long Columns { get; init; }

    // Gate and up are one product after the other: up's lines are asked for last.
    public LinesAhead Ahead(long row, long column, int matrix)
    {
        long at = ((row * Columns) + column) * T.Size, rowBytes = Columns * T.Size;
        int bytes = PackedMatrix.StripColumns * T.Size;
        return matrix == 0
            ? new(Output + at, Gate == null ? null : Gate + at, rowBytes, bytes)
            : new(Up == null ? null : Up + at, null, rowBytes, bytes);
    }

    public SumPlace InPlace(long row, long column) => default;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged
    {
        float* gate = sums, up = sums + PackedMatrix.StripColumns;
        long at = (row * Columns) + column;
        if (GateBias != null)
        {
            EpilogueRow.Add<S, V>(gate, GateBias + column);
        }
        if (UpBias != null)
        {
            EpilogueRow.Add<S, V>(up, UpBias + column);
        }
        if (Gate != null)
        {
            RowStore.Run<S, V, T>(gate, columns, Gate, at);
            RowStore.Run<S, V, T>(up, columns, Up, at);
        }
        for (int i = 0; i < columns; i += S.Width)
        {
            S.Store(gate + i, S.Mul(Silu.Value<S, V>(S.Load(gate + i)), S.Load(up + i)));
        }
        RowStore.Run<S, V, T>(gate, columns, Output, at);
    }
}

internal static unsafe class EpilogueRow
{
    /// <summary>Adds a strip's worth of values, padding included.</summary>
    public static void Add<S, V>(float* sums, float* values) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < PackedMatrix.StripColumns; i += S.Width)
        {
            S.Store(sums + i, S.Add(S.Load(sums + i), S.Load(values + i)));
        }
    }
}
