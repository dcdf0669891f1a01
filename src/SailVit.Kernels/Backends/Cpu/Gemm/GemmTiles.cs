namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Cuts a block of rows × one strip into register tiles.</summary>
internal static unsafe class GemmTiles
{
    public static void Run<S, V>(LeftBlock a, long rows, float* b, long panelDepth, long depth, int columns, float* sums, int sumStep, bool add)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // At 16 lanes a vector is a whole panel, and the next vector lies in the next panel.
        nint panelStep = (nint)(panelDepth * PackedMatrix.PanelColumns);
        nint vectorStep = (S.Width == PackedMatrix.PanelColumns ? panelStep : S.Width) * sizeof(float);
        int tileColumns = S.Width * GemmTile.MaxVectors(S.Width);
        for (int c = 0; c < columns; c += tileColumns)
        {
            var panel = (byte*)(b + (c / PackedMatrix.PanelColumns * panelStep) + (c % PackedMatrix.PanelColumns));
            int vectors = Math.Min((columns - c + S.Width - 1) / S.Width, GemmTile.MaxVectors(S.Width));
            switch (vectors)
            {
                case 1:
                    Rows<S, V, One>(a, rows, panel, vectorStep, depth, sums + c, sumStep, add);
                    break;
                case 2:
                    Rows<S, V, Two>(a, rows, panel, vectorStep, depth, sums + c, sumStep, add);
                    break;
                case 3:
                    Rows<S, V, Three>(a, rows, panel, vectorStep, depth, sums + c, sumStep, add);
                    break;
                default:
                    Rows<S, V, Four>(a, rows, panel, vectorStep, depth, sums + c, sumStep, add);
                    break;
            }
        }
    }

    private static void Rows<S, V, C>(LeftBlock a, long rows, byte* b, nint vectorStep, long depth, float* sums, int sumStep, bool add)
        where S : struct, ISimd<V>
        where V : unmanaged
        where C : struct, IConstant
    {
        nint rowStep = (nint)a.RowStride * sizeof(float), kStep = (nint)a.KStride * sizeof(float);
        for (long row = 0; row < rows; row += GemmTile.MaxRows)
        {
            var from = (byte*)(a.Data + (row * a.RowStride));
            var to = sums + (row * sumStep);
            switch (rows - row)
            {
                case 1:
                    GemmTile.Run<S, V, One, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
                case 2:
                    GemmTile.Run<S, V, Two, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
                case 3:
                    GemmTile.Run<S, V, Three, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
                case 4:
                    GemmTile.Run<S, V, Four, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
                case 5:
                    GemmTile.Run<S, V, Five, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
                default:
                    GemmTile.Run<S, V, Six, C>(depth, from, rowStep, kStep, b, vectorStep, to, sumStep, add);
                    break;
            }
        }
    }
}
