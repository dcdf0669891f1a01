using ILGPU;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Which operands of an element-wise function there are, besides A.</summary>
internal interface IMapShape
{
    static abstract bool HasB { get; }

    static abstract bool HasC { get; }

    static abstract bool HasY { get; }

    static abstract bool HasZ { get; }
}

/// <summary>An operand of each flag.</summary>
internal readonly struct MapShape<B, C, Y, Z> : IMapShape
    where B : unmanaged, IFlag
    where C : unmanaged, IFlag
    where Y : unmanaged, IFlag
    where Z : unmanaged, IFlag
{
    public static bool HasB => B.IsSet;

    public static bool HasC => C.IsSet;

    public static bool HasY => Y.IsSet;

    public static bool HasZ => Z.IsSet;
}

/// <summary>Strides between rows, in elements, and the extent of the operands.</summary>
internal struct MapScalars
{
    public long AStride;
    public long BStride;
    public long CStride;
    public long YStride;
    public long ZStride;
    public long Width;

    /// <summary>Elements of all rows; the last row may be shorter.</summary>
    public long Length;
}

/// <summary>An element-wise function on a device: a work-group per row.</summary>
internal static class MapPortable<T, M, O, L>
    where T : unmanaged, IPortableElement<T>
    where M : unmanaged, IElementMap
    where O : unmanaged, IMapShape
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype, function, operands and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<T> a, ArrayView<T> b, ArrayView<T> c, ArrayView<T> y, ArrayView<T> z, MapScalars s)
    {
        long row = Grid.IdxX, n = Math.Min(s.Width, s.Length - (row * s.Width));
        for (long i = Group.IdxX; i < n; i += L.Count)
        {
            M.Apply<PortableSimd, float>(
                T.Read(a[(row * s.AStride) + i]),
                O.HasB ? T.Read(b[(row * s.BStride) + i]) : 0,
                O.HasC ? T.Read(c[(row * s.CStride) + i]) : 0,
                out float first, out float second);
            if (O.HasY)
            {
                y[(row * s.YStride) + i] = T.Write(first);
            }
            if (O.HasZ)
            {
                z[(row * s.ZStride) + i] = T.Write(second);
            }
        }
    }
}
