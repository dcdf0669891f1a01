using System.Runtime.Intrinsics;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The right matrix of a product, [K, N], laid out as the product reads it: strips of 64 columns, each four
/// panels of 16 columns, each panel K rows of one cache line. Every vector width reads this one layout.</summary>
internal readonly unsafe struct PackedMatrix(float* data, long depth, long columns)
{
    /// <summary>Columns that one work item computes.</summary>
    public const int StripColumns = 64;

    /// <summary>Columns side by side in memory.</summary>
    public const int PanelColumns = 16;

    public const int PanelsPerStrip = StripColumns / PanelColumns;

    public readonly float* Data = data;
    public readonly long Depth = depth;
    public readonly long Columns = columns;

    public long Strips => StripsOf(Columns);

    public static long StripsOf(long columns) => (columns + StripColumns - 1) / StripColumns;

    /// <summary>Floats that a matrix takes, padding included.</summary>
    public static long FloatsOf(long depth, long columns) => StripsOf(columns) * StripColumns * depth;

    public float* Strip(long strip) => Data + (strip * StripColumns * Depth);
}

/// <summary>Packs strips of B = x (rows of x are k) or B = xᵀ (rows of x are columns of B, as a linear layer's weight).</summary>
internal readonly unsafe struct PackKernel(MatrixView x, bool transposed, long firstColumn, PackedMatrix to, long stripStep = 1, long stripOffset = 0) : ICpuKernel
{
    private readonly MatrixView _x = x;
    private readonly bool _transposed = transposed;
    private readonly long _firstColumn = firstColumn;
    private readonly PackedMatrix _to = to;
    private readonly long _stripStep = stripStep;
    private readonly long _stripOffset = stripOffset;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long columns = _transposed ? _x.Rows : _x.Columns;
        for (long strip = begin; strip < end; strip++)
        {
            var panel = _to.Strip((strip * _stripStep) + _stripOffset);
            long column = _firstColumn + (strip * PackedMatrix.StripColumns);
            for (int p = 0; p < PackedMatrix.PanelsPerStrip; p++)
            {
                int count = (int)Math.Clamp(columns - column, 0, PackedMatrix.PanelColumns);
                if (count < PackedMatrix.PanelColumns)
                {
                    new Span<float>(panel, checked((int)(_to.Depth * PackedMatrix.PanelColumns))).Clear();
                }
                if (_transposed)
                {
                    PackTransposed<S, V>(panel, column, count);
                }
                else
                {
                    PackRows<S, V>(panel, column, count);
                }
                panel += _to.Depth * PackedMatrix.PanelColumns;
                column += PackedMatrix.PanelColumns;
            }
        }
    }

    private void PackRows<S, V>(float* panel, long column, int count) where S : struct, ISimd<V> where V : unmanaged
    {
        if (count == 0)
        {
            return;
        }
        for (long k = 0; k < _to.Depth; k++)
        {
            _x.CopyRow<S, V>(k, column, count, panel + (k * PackedMatrix.PanelColumns));
        }
    }

    // Through a block of 16 × 64 float32 values on the stack, which holds rows of any storage type.
    private void PackTransposed<S, V>(float* panel, long column, int count) where S : struct, ISimd<V> where V : unmanaged
    {
        const int BlockDepth = 64;
        float* block = stackalloc float[PackedMatrix.PanelColumns * BlockDepth];
        for (long k = 0; k < _to.Depth; k += BlockDepth)
        {
            int depth = (int)Math.Min(BlockDepth, _to.Depth - k);
            for (int c = 0; c < count; c++)
            {
                _x.CopyRow<S, V>(column + c, k, depth, block + (c * BlockDepth));
            }
            Transpose(block, BlockDepth, count, depth, panel + (k * PackedMatrix.PanelColumns));
        }
    }

    private static void Transpose(float* from, int stride, int columns, int depth, float* to)
    {
        int c = 0;
        for (; c + 4 <= columns; c += 4)
        {
            int k = 0;
            for (; k + 4 <= depth; k += 4)
            {
                Transpose4(from + (c * stride) + k, stride, to + (k * PackedMatrix.PanelColumns) + c);
            }
            for (; k < depth; k++)
            {
                CopyStrided(from + (c * stride) + k, stride, 4, to + (k * PackedMatrix.PanelColumns) + c);
            }
        }
        for (int k = 0; k < depth; k++)
        {
            CopyStrided(from + (c * stride) + k, stride, columns - c, to + (k * PackedMatrix.PanelColumns) + c);
        }
    }

    private static void CopyStrided(float* from, int stride, int count, float* to)
    {
        for (int i = 0; i < count; i++)
        {
            to[i] = from[i * stride];
        }
    }

    private static void Transpose4(float* from, int stride, float* to)
    {
        Vector128<float> a = Vector128.Load(from), b = Vector128.Load(from + stride), c = Vector128.Load(from + (2 * stride)), d = Vector128.Load(from + (3 * stride));
        var ac = Interleave(a, c);
        var bd = Interleave(b, d);
        var (abcd0, abcd1) = Interleave(ac.Low, bd.Low);
        var (abcd2, abcd3) = Interleave(ac.High, bd.High);
        abcd0.Store(to);
        abcd1.Store(to + PackedMatrix.PanelColumns);
        abcd2.Store(to + (2 * PackedMatrix.PanelColumns));
        abcd3.Store(to + (3 * PackedMatrix.PanelColumns));
    }

    // (a0 b0 a1 b1), (a2 b2 a3 b3)
    private static (Vector128<float> Low, Vector128<float> High) Interleave(Vector128<float> a, Vector128<float> b) =>
        System.Runtime.Intrinsics.X86.Sse.IsSupported
            ? (System.Runtime.Intrinsics.X86.Sse.UnpackLow(a, b), System.Runtime.Intrinsics.X86.Sse.UnpackHigh(a, b))
            : System.Runtime.Intrinsics.Arm.AdvSimd.Arm64.IsSupported
                ? (System.Runtime.Intrinsics.Arm.AdvSimd.Arm64.ZipLow(a, b), System.Runtime.Intrinsics.Arm.AdvSimd.Arm64.ZipHigh(a, b))
                : (Vector128.Create(a[0], b[0], a[1], b[1]), Vector128.Create(a[2], b[2], a[3], b[3]));
}
