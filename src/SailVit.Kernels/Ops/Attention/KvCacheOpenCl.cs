using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Stores new keys or values in a cache on the OpenCL device in use.</summary>
internal static unsafe class KvCacheOpenCl
{
    /// <param name="call">Sizes, checked.</param>
    /// <param name="rows">[T, Hkv, D], channels adjacent.</param>
    /// <param name="cache">[S, M, Hkv, D], channels adjacent.</param>
    public static void Store(KvCacheCall call, in TensorView rows, in TensorView cache)
    {
        var places = new long[rows.Size(0)];
        for (int s = 0; s < call.Sequences; s++)
        {
            for (long i = 0; i < call.Tokens(s); i++)
            {
                places[call.CuSeqlens[s] + i] = (s * cache.Stride(0)) + ((call.Held[s] + i) * cache.Stride(1));
            }
        }
        if (places.Length > 0)
        {
            PortableDispatch.For(rows.DType, new StoreCall(places, rows, cache));
        }
    }

    private readonly ref struct StoreCall(long[] places, TensorView rows, TensorView cache) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            fixed (long* at = places)
            {
                HostArray[] arrays =
                [
                    HostArray.Read(rows.Data, rows.Extent, sizeof(T)),
                    HostArray.Read(at, places.Length, sizeof(long)),
                    HostArray.Write(cache.Data, cache.Extent, sizeof(T)),
                ];
                var scalars = new KvCacheScalars { Row = rows.Stride(0), Head = rows.Stride(1), CacheHead = cache.Stride(2), Heads = rows.Size(1), Width = rows.Size(2) };
                OpenClRows.Run(KvCachePortable<T, OneLane>.Kernel, KvCachePortable<T, StripLanes>.Kernel, places.Length * rows.Size(1), arrays, scalars);
            }
        }
    }
}
