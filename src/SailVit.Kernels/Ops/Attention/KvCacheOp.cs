using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Stores new keys and values, then attends: sequences of few new tokens by <see cref="KvCacheKernel{T}"/>, others by
/// <see cref="AttentionForward"/>. Arguments have been checked.</summary>
internal static unsafe class KvCacheOp
{
    // Below, packing a head's keys and values for the matrix product would cost more than the products.
    private const long FewTokens = 4;

    public static Tensor Run(KvCacheCall call, Tensor query, Tensor key, Tensor value, Tensor keyCache, Tensor valueCache)
    {
        var view = new TensorView(query);
        Store(call, key, keyCache);
        Store(call, value, valueCache);
        var output = Allocate.Empty(view.Sizes, view.DType);
        var problem = new AttentionProblem
        {
            SequenceCount = call.Sequences,
            Heads = call.Heads,
            KvHeads = call.KvHeads,
            Width = call.Width,
            Causal = true,
            Q = new(view, -1, 0, 1),
            K = new(new TensorView(keyCache), 0, 1, 2),
            V = new(new TensorView(valueCache), 0, 1, 2),
        };
        problem.SetScale(call.Scale);
        using var table = Workspace.Rent(call.Sequences * sizeof(Sequence));
        problem.Sequences = (Sequence*)table.Pointer;
        var to = new HeadTensor(new TensorView(output), -1, 0, 1);
        if (Dispatcher.UsesOpenCl)
        {
            _ = Fill(call, problem.Sequences, few: null);
            AttentionOpenCl.Forward(problem, new(to, null, null, 0), view.DType);
            return output;
        }
        long items = Fill(call, problem.Sequences, few: false);
        CpuBackend.Run(new AttentionForward(problem, new(to, null, null, 0)), items, 1);
        items = Fill(call, problem.Sequences, few: true);
        ElementDispatch.For(view.DType, new FewCall(problem, to, items));
        return output;
    }

    // Sequences of the other kind have no queries here, and so no items; null for both kinds.
    private static long Fill(KvCacheCall call, Sequence* sequences, bool? few)
    {
        long items = 0;
        for (int s = 0; s < call.Sequences; s++)
        {
            long queries = few is null || call.Tokens(s) <= FewTokens == few ? call.Tokens(s) : 0;
            sequences[s] = new(call.CuSeqlens[s], queries, 0, call.Held[s] + call.Tokens(s), items, call.Held[s]);
            items += few == true ? (queries > 0 ? call.KvHeads : 0) : call.Heads * AttentionOp.Blocks(queries, AttentionForward.QueryBlock);
        }
        return items;
    }

    private static void Store(KvCacheCall call, Tensor rows, Tensor cache)
    {
        using var scope = NewDisposeScope();
        var source = rows.detach();
        var from = new TensorView(source);
        if (from.Stride(2) != 1 && from.Size(2) > 1)
        {
            source = source.contiguous();
            from = new TensorView(source);
        }
        var to = new TensorView(cache);
        if (Dispatcher.UsesOpenCl)
        {
            KvCacheOpenCl.Store(call, from, to);
            return;
        }
        int size = from.DType.Size(), bytes = call.Width * size;
        for (int s = 0; s < call.Sequences; s++)
        {
            for (long i = 0; i < call.Tokens(s); i++)
            {
                for (long h = 0; h < call.KvHeads; h++)
                {
                    byte* a = from.Data + ((((call.CuSeqlens[s] + i) * from.Stride(0)) + (h * from.Stride(1))) * size);
                    byte* b = to.Data + (((s * to.Stride(0)) + ((call.Held[s] + i) * to.Stride(1)) + (h * to.Stride(2))) * size);
                    Buffer.MemoryCopy(a, b, bytes, bytes);
                }
            }
        }
    }

    private readonly struct FewCall(AttentionProblem problem, HeadTensor output, long items) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement => CpuBackend.Run(new KvCacheKernel<T>(problem, output), items, 1);
    }
}
