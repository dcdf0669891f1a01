using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>B = xᵀ, or a pair of such (gate and up) whose strips alternate.</summary>
internal readonly unsafe struct RightColumns(MatrixView first, MatrixView second, int matrices) : IRightOperand
{
    private readonly MatrixView _first = first;
    private readonly MatrixView _second = second;

    public int Matrices { get; } = matrices;

    public long Depth => _first.Columns;

    public long Columns => _first.Rows;

    /// <summary>Packs all columns on the calling thread, inside another kernel's work.</summary>
    public void Pack<S, V>(PackedMatrix to) where S : struct, ISimd<V> where V : unmanaged => Pack<S, V>(0, to, 0, to.Strips);

    public void Pack<S, V>(long firstColumn, PackedMatrix to, long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long strip = begin; strip < end; strip++)
        {
            int count = RightOperand.Begin(this, firstColumn, to, strip, out long column);
            Pack<S, V>(strip % Matrices == 0 ? _first : _second, column, count, to, to.Strip(strip));
        }
    }

    // Through a block on the stack, which holds rows of any storage type as float32.
    private static void Pack<S, V>(MatrixView x, long column, int count, PackedMatrix to, float* panels) where S : struct, ISimd<V> where V : unmanaged
    {
        const int BlockDepth = 64;
        float* block = stackalloc float[PackedMatrix.PanelColumns * BlockDepth];
        for (int c = 0; c < count; c += PackedMatrix.PanelColumns)
        {
            int width = Math.Min(PackedMatrix.PanelColumns, count - c);
            var panel = panels + (c * to.Depth);
            for (long k = 0; k < to.Depth; k += BlockDepth)
            {
                int depth = (int)Math.Min(BlockDepth, to.Depth - k);
                for (int r = 0; r < width; r++)
                {
                    x.CopyRow<S, V>(column + c + r, k, depth, block + (r * BlockDepth));
                }
                Transpose(block, BlockDepth, width, depth, panel + (k * PackedMatrix.PanelColumns));
            }
        }
    }

    /// <summary>to[k, c] = from[c, k]; rows of from are stride floats apart, rows of to a panel's width.</summary>
    public static void Transpose(float* from, long stride, int columns, int depth, float* to)
    {
        int wholeColumns = columns & ~3, wholeDepth = depth & ~3;
        bool panel = columns == PackedMatrix.PanelColumns && Avx512F.IsSupported;
        for (int k = 0; panel && k < wholeDepth; k += 4)
        {
            Transpose16(from + k, stride, to + (k * PackedMatrix.PanelColumns));
        }
        for (int c = 0; !panel && c < wholeColumns; c += 4)
        {
            for (int k = 0; k < wholeDepth; k += 4)
            {
                Transpose4(from + (c * stride) + k, stride, to + (k * PackedMatrix.PanelColumns) + c);
            }
        }
        for (int c = 0; c < columns; c++)
        {
            for (int k = c < wholeColumns ? wholeDepth : 0; k < depth; k++)
            {
                to[(k * PackedMatrix.PanelColumns) + c] = from[(c * stride) + k];
            }
        }
    }

    // Four 4 × 4 blocks side by side: rows i, i + 4, i + 8 and i + 12 share a vector, so that each step below turns all four.
    private static void Transpose16(float* from, long stride, float* to)
    {
        var (a, b) = (Lanes(from, stride), Lanes(from + stride, stride));
        var (c, d) = (Lanes(from + (2 * stride), stride), Lanes(from + (3 * stride), stride));
        var (acLow, acHigh) = (Avx512F.UnpackLow(a, c), Avx512F.UnpackHigh(a, c));
        var (bdLow, bdHigh) = (Avx512F.UnpackLow(b, d), Avx512F.UnpackHigh(b, d));
        Avx512F.UnpackLow(acLow, bdLow).Store(to);
        Avx512F.UnpackHigh(acLow, bdLow).Store(to + PackedMatrix.PanelColumns);
        Avx512F.UnpackLow(acHigh, bdHigh).Store(to + (2 * PackedMatrix.PanelColumns));
        Avx512F.UnpackHigh(acHigh, bdHigh).Store(to + (3 * PackedMatrix.PanelColumns));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Lanes(float* from, long stride)
    {
        var x = Vector128.Load(from).ToVector256Unsafe().ToVector512Unsafe();
        x = Avx512F.InsertVector128(x, Vector128.Load(from + (4 * stride)), 1);
        x = Avx512F.InsertVector128(x, Vector128.Load(from + (8 * stride)), 2);
        return Avx512F.InsertVector128(x, Vector128.Load(from + (12 * stride)), 3);
    }

    private static void Transpose4(float* from, long stride, float* to)
    {
        var (a, b) = (Vector128.Load(from), Vector128.Load(from + stride));
        var (c, d) = (Vector128.Load(from + (2 * stride)), Vector128.Load(from + (3 * stride)));
        var (acLow, acHigh) = Interleave(a, c);
        var (bdLow, bdHigh) = Interleave(b, d);
        var (row0, row1) = Interleave(acLow, bdLow);
        var (row2, row3) = Interleave(acHigh, bdHigh);
        row0.Store(to);
        row1.Store(to + PackedMatrix.PanelColumns);
        row2.Store(to + (2 * PackedMatrix.PanelColumns));
        row3.Store(to + (3 * PackedMatrix.PanelColumns));
    }

    // (a0 b0 a1 b1) and (a2 b2 a3 b3).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> Low, Vector128<float> High) Interleave(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? (Sse.UnpackLow(a, b), Sse.UnpackHigh(a, b))
        : AdvSimd.Arm64.IsSupported ? (AdvSimd.Arm64.ZipLow(a, b), AdvSimd.Arm64.ZipHigh(a, b))
        : (Vector128.Create(a[0], b[0], a[1], b[1]), Vector128.Create(a[2], b[2], a[3], b[3]));
}
