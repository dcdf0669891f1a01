using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Rotary;

/// <summary>Scalars of the kernel; as in <see cref="RotaryArgs"/>.</summary>
internal struct RotaryScalars
{
    public long TokenStride;
    public long HeadStride;
    public long CosStride;
    public long SinStride;
    public long PositionStride;
    public long Heads;
    public long Half;
    public float Direction;
}

/// <summary>Turns the pairs of channels on a device: a work-group per token and head. The formulas are those of <see cref="RotaryKernel{T}"/>.</summary>
internal static class RotaryPortable<T, L>
    where T : unmanaged, IPortableElement<T>
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<T> x, ArrayView<float> cos, ArrayView<float> sin, ArrayView<long> positions, ArrayView<T> y, RotaryScalars a)
    {
        long row = Grid.IdxX, token = row / a.Heads, head = row % a.Heads;
        long position = positions[token * a.PositionStride];
        long from = (token * a.TokenStride) + (head * a.HeadStride), to = row * 2 * a.Half;
        long cosAt = position * a.CosStride, sinAt = position * a.SinStride;
        for (long i = Group.IdxX; i < a.Half; i += L.Count)
        {
            float first = T.Read(x[from + i]), second = T.Read(x[from + a.Half + i]);
            float c = cos[cosAt + i], s = sin[sinAt + i] * a.Direction;
            y[to + i] = T.Write((first * c) - (second * s));
            y[to + a.Half + i] = T.Write(Builtin.Fma(second, c, first * s));
        }
    }
}
