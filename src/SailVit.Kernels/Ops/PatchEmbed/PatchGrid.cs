using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>Pixels [B, channels, H, W] read as a matrix with one patch per row: [B · patches, channels · P · P], K in the
/// order of a convolution's weight. The matrix is never made; rows are gathered as the product needs them.</summary>
internal readonly unsafe struct PatchGrid
{
    /// <summary>Constants per channel: scale, its rest, shift, its rest.</summary>
    public const int ChannelValues = 4;

    private readonly byte* _pixels;
    private readonly byte* _end;
    private readonly DType _dtype;
    private readonly long _batchStride, _channelStride, _rowStride, _columnStride;

    // Per channel: the value that the product sees is (scale + its rest) · pixel + shift + its rest.
    private readonly float* _scale, _scaleRest, _shift, _shiftRest;

    public PatchGrid(in TensorView pixels, long patchHeight, long patchWidth, float* scale, float* scaleRest, float* shift, float* shiftRest)
    {
        _pixels = pixels.Data;
        _dtype = pixels.DType;
        (_batchStride, _channelStride, _rowStride, _columnStride) = (pixels.Stride(0), pixels.Stride(1), pixels.Stride(2), pixels.Stride(3));
        _scale = scale;
        _scaleRest = scaleRest;
        _shift = shift;
        _shiftRest = shiftRest;
        PatchHeight = patchHeight;
        PatchWidth = patchWidth;
        Images = pixels.Size(0);
        Channels = pixels.Size(1);
        GridHeight = pixels.Size(2) / patchHeight;
        GridWidth = pixels.Size(3) / patchWidth;
        long last = 0;
        for (int d = 0; d < 4; d++)
        {
            last += Math.Max(pixels.Size(d) - 1, 0) * pixels.Stride(d);
        }
        _end = pixels.Data + ((last + 1) * pixels.DType.Size());
    }

    public long PatchHeight { get; }

    public long PatchWidth { get; }

    public long Images { get; }

    public long Channels { get; }

    public long GridHeight { get; }

    public long GridWidth { get; }

    public DType DType => _dtype;

    public byte* Pixels => _pixels;

    /// <summary>Elements from the first pixel to the last one, gaps included.</summary>
    public long Extent => (_end - _pixels) / _dtype.Size();

    /// <summary>What a device is told of the pixels.</summary>
    public PatchScalars Scalars => new()
    {
        BatchStride = _batchStride,
        ChannelStride = _channelStride,
        RowStride = _rowStride,
        ColumnStride = _columnStride,
        Channels = Channels,
        PatchHeight = PatchHeight,
        PatchWidth = PatchWidth,
        GridHeight = GridHeight,
        GridWidth = GridWidth,
    };

    /// <summary>The same of pixels of this size that lie row-major.</summary>
    public PatchScalars RowMajorScalars
    {
        get
        {
            long width = GridWidth * PatchWidth, plane = GridHeight * PatchHeight * width;
            return Scalars with { BatchStride = Channels * plane, ChannelStride = plane, RowStride = width, ColumnStride = 1 };
        }
    }

    /// <summary>Patches of one image.</summary>
    public long Patches => GridHeight * GridWidth;

    /// <summary>Numbers of one patch: K.</summary>
    public long Depth => Channels * PatchHeight * PatchWidth;

    /// <summary>[channels, <see cref="ChannelValues"/>].</summary>
    public void WriteChannels(float* to)
    {
        for (long c = 0; c < Channels; c++)
        {
            (to[0], to[1], to[2], to[3]) = (_scale[c], _scaleRest[c], _shift[c], _shiftRest[c]);
            to += ChannelValues;
        }
    }

    /// <summary>Numbers [k, k + count) of a patch as float32; overwrites up to <see cref="Backends.Cpu.Gemm.IRowSource.Slack"/> floats behind them.</summary>
    public void Gather<S, V>(long patch, long k, long count, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        switch (_dtype)
        {
            case DType.UInt8:
                Gather<S, V, U8>(patch, k, count, to);
                break;
            case DType.BFloat16:
                Gather<S, V, Bf16>(patch, k, count, to);
                break;
            case DType.Float16:
                Gather<S, V, F16>(patch, k, count, to);
                break;
            default:
                Gather<S, V, F32>(patch, k, count, to);
                break;
        }
    }

    private void Gather<S, V, T>(long patch, long k, long count, float* to)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        long origin = Origin(patch);
        var (channel, y, x) = Split(k);
        while (count > 0)
        {
            long run = Math.Min(PatchWidth - x, count);
            byte* from = _pixels + ((origin + (channel * _channelStride) + (y * _rowStride) + (x * _columnStride)) * T.Size);
            Run<S, V, T>(from, run, channel, to);
            to += run;
            count -= run;
            x = 0;
            if (++y == PatchHeight)
            {
                (channel, y) = (channel + 1, 0);
            }
        }
    }

    // Whole vectors as long as they lie inside the tensor: what they write beyond the run is overwritten by the next one.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Run<S, V, T>(byte* from, long count, long channel, float* to)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        long i = 0;
        if (_columnStride == 1)
        {
            for (; i < count && from + ((i + S.Width) * T.Size) <= _end; i += S.Width)
            {
                S.Store(to + i, Value<S, V, T>(T.Load<S, V>(from, i), channel));
            }
        }
        for (; i < count; i++)
        {
            to[i] = Value<SimdScalar, float, T>(T.Load<SimdScalar, float>(from, i * _columnStride), channel);
        }
    }

    // What float32 constants lack would be common to all pixels of a channel, and sum up along K. Not so for infinite pixels:
    // their product with a rest of the other sign would give NaN.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private V Value<S, V, T>(V pixel, long channel)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        var value = S.Fma(pixel, S.Create(_scale[channel]), S.Create(_shift[channel]));
        var rest = S.Fma(pixel, S.Create(_scaleRest[channel]), S.Create(_shiftRest[channel]));
        return S.Add(value, T.DType == DType.UInt8 ? rest : S.Select(S.LessThan(S.Abs(pixel), S.Create(float.PositiveInfinity)), rest, S.Zero));
    }

    /// <summary>Writes dPixel = scale · dValue for numbers [k, k + count) of a patch, into an image of T whose layout is that
    /// of these pixels made row-major.</summary>
    public void Scatter<T>(long patch, long k, long count, float* from, byte* image) where T : struct, IElement
    {
        long width = GridWidth * PatchWidth, height = GridHeight * PatchHeight;
        var (b, gy, gx) = Place(patch);
        for (long i = 0; i < count; i++)
        {
            var (channel, y, x) = Split(k + i);
            long at = (((((b * Channels) + channel) * height) + (gy * PatchHeight) + y) * width) + (gx * PatchWidth) + x;
            T.Store<SimdScalar, float>(image, at, _scale[channel] * from[i]);
        }
    }

    private (long Image, long Row, long Column) Place(long patch)
    {
        var (b, cell) = Math.DivRem(patch, Patches);
        var (gy, gx) = Math.DivRem(cell, GridWidth);
        return (b, gy, gx);
    }

    private long Origin(long patch)
    {
        var (b, gy, gx) = Place(patch);
        return (b * _batchStride) + (gy * PatchHeight * _rowStride) + (gx * PatchWidth * _columnStride);
    }

    private (long Channel, long Y, long X) Split(long k)
    {
        var (row, x) = Math.DivRem(k, PatchWidth);
        var (channel, y) = Math.DivRem(row, PatchHeight);
        return (channel, y, x);
    }

    /// <summary>Bytes 0 … 255; never stored.</summary>
    private readonly struct U8 : IElement
    {
        public static int Size => 1;

        public static DType DType => DType.UInt8;

        public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => S.LoadU8((byte*)p + i);

        public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => throw new NotSupportedException("Bytes are read only.");
    }
}
