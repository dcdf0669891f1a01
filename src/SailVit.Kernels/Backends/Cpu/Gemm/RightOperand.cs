using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;


namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The right matrix of a product before packing: B = x, or B = xᵀ (a linear layer's weight [N, K]), or a pair
/// of such (gate and up) whose strips alternate.</summary>
internal readonly struct RightOperand
{
    private readonly MatrixView _first;
    private readonly MatrixView _second;
    private readonly bool _transposed;

    private RightOperand(MatrixView first, MatrixView second, bool transposed, int matrices)
    {
        _first = first;
        _second = second;
        _transposed = transposed;
        Matrices = matrices;
    }

    public int Matrices { get; }

    public long Depth => _transposed ? _first.Columns : _first.Rows;

    public long Columns => _transposed ? _first.Rows : _first.Columns;

    public static RightOperand Of(MatrixView x) => new(x, default, transposed: false, 1);

    public static RightOperand Transposed(MatrixView x) => new(x, default, transposed: true, 1);

    public static RightOperand TransposedPair(MatrixView first, MatrixView second) => new(first, second, transposed: true, 2);

    /// <summary>Packs the columns [firstColumn, firstColumn + to.Columns).</summary>
    public void Pack(long firstColumn, PackedMatrix to) => CpuBackend.Run(new Kernel(this, firstColumn, to), to.Strips, 1);

    /// <summary>Packs all columns on the calling thread, inside another kernel's work.</summary>
    public void Pack<S, V>(PackedMatrix to) where S : struct, ISimd<V> where V : unmanaged => new Kernel(this, 0, to).Run<S, V>(0, to.Strips);

    private readonly unsafe struct Kernel(RightOperand source, long firstColumn, PackedMatrix to) : ICpuKernel
    {
        public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            for (long strip = begin; strip < end; strip++)
            {
                if (ColumnsOf(strip, out _) < PackedMatrix.StripColumns)
                {
                    Clear(to.Strip(strip), to.Depth * PackedMatrix.StripColumns);
                }
                if (source._transposed)
                {
                    PackTransposed<S, V>(strip);
                }
            }
            if (!source._transposed)
            {
                PackRows<S, V>(begin, end);
            }
        }

        private int ColumnsOf(long strip, out long column)
        {
            column = firstColumn + (strip / source.Matrices * PackedMatrix.StripColumns);
            return (int)Math.Min(PackedMatrix.StripColumns, source.Columns - column);
        }

        private static void Clear(float* p, long count)
        {
            for (long i = 0; i < count; i++)
            {
                p[i] = 0;
            }
        }

        // A few rows across all strips at a time: memory is read along rows, and written in runs.
        private void PackRows<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            const long Rows = 16;
            float* row = stackalloc float[PackedMatrix.StripColumns];
            for (long first = 0; first < to.Depth; first += Rows)
            {
                for (long strip = begin; strip < end; strip++)
                {
                    int count = ColumnsOf(strip, out long column);
                    var panels = to.Strip(strip);
                    for (long k = first; k < Math.Min(to.Depth, first + Rows); k++)
                    {
                        PackRow<S, V>(k, column, count, row, panels + (k * PackedMatrix.PanelColumns));
                    }
                }
            }
        }

        private void PackRow<S, V>(long k, long column, int count, float* row, float* panel) where S : struct, ISimd<V> where V : unmanaged
        {
            float* from = row;
            if (source._first.IsFloat32Rows)
            {
                from = (float*)source._first.At(k, column);
            }
            else
            {
                source._first.CopyRow<S, V>(k, column, count, row);
            }
            long panelStep = to.Depth * PackedMatrix.PanelColumns;
            int c = 0;
            for (; c + PackedMatrix.PanelColumns <= count; c += PackedMatrix.PanelColumns, panel += panelStep)
            {
                Unsafe.CopyBlockUnaligned(panel, from + c, PackedMatrix.PanelColumns * sizeof(float));
            }
            Unsafe.CopyBlockUnaligned(panel, from + c, (uint)(count - c) * sizeof(float));
        }

        // Through a block on the stack, which holds rows of any storage type as float32.
        private void PackTransposed<S, V>(long strip) where S : struct, ISimd<V> where V : unmanaged
        {
            var x = strip % source.Matrices == 0 ? source._first : source._second;
            int count = ColumnsOf(strip, out long column);
            var panels = to.Strip(strip);
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
    }

    /// <summary>to[k, c] = from[c, k]; rows of from are stride floats apart, rows of to a panel's width.</summary>
    private static unsafe void Transpose(float* from, int stride, int columns, int depth, float* to)
    {
        int wholeColumns = columns & ~3, wholeDepth = depth & ~3;
        for (int c = 0; c < wholeColumns; c += 4)
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

    private static unsafe void Transpose4(float* from, int stride, float* to)
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
