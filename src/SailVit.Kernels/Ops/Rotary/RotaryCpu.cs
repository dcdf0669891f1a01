using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Rotary;

/// <summary>Arguments of the kernel, the same in both directions. Strides are in elements; the output is row-major.</summary>
internal unsafe struct RotaryArgs
{
    public byte* X;
    public long TokenStride;
    public long HeadStride;

    public float* Cos;
    public float* Sin;

    /// <summary>Elements from one position's row of a table to the next.</summary>
    public long CosStride;
    public long SinStride;

    public long* Positions;
    public long PositionStride;

    /// <summary>+1 turns forward, −1 back: the gradient.</summary>
    public float Direction;

    public byte* Y;
    public long Heads;

    /// <summary>D/2.</summary>
    public long Half;
}

/// <summary>Heads [begin, end) of all tokens: (a, b) → (a·cos − b·sin, b·cos + a·sin).</summary>
internal readonly unsafe struct RotaryKernel<T>(RotaryArgs a) : ICpuKernel where T : unmanaged, IElement
{
    private readonly RotaryArgs _a = a;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        var (token, head) = Math.DivRem(begin, _a.Heads);
        for (long row = begin; row < end; row++)
        {
            long position = _a.Positions[token * _a.PositionStride];
            float* cos = _a.Cos + (position * _a.CosStride), sin = _a.Sin + (position * _a.SinStride);
            byte* x = _a.X + (((token * _a.TokenStride) + (head * _a.HeadStride)) * T.Size);
            byte* y = _a.Y + (row * 2 * _a.Half * T.Size);
            long i = 0;
            for (; i + S.Width <= _a.Half; i += S.Width)
            {
                At<S, V>(x, y, cos, sin, i);
            }
            for (; i < _a.Half; i++)
            {
                At<SimdScalar, float>(x, y, cos, sin, i);
            }
            if (++head == _a.Heads)
            {
                (head, token) = (0, token + 1);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void At<S, V>(byte* x, byte* y, float* cos, float* sin, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        V first = T.Load<S, V>(x, i), second = T.Load<S, V>(x, i + _a.Half);
        var c = S.Load(cos + i);
        var s = S.Mul(S.Load(sin + i), S.Create(_a.Direction));
        T.Store<S, V>(y, i, S.Sub(S.Mul(first, c), S.Mul(second, s)));
        T.Store<S, V>(y, i + _a.Half, S.Fma(second, c, S.Mul(first, s)));
    }
}
