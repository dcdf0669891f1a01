using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

/// <summary>Rows [begin, end): the loss of each, and its logits replaced by their gradient, factor·(softmax − one-hot).</summary>
/// <param name="logits">[rows, classes], row-major.</param>
/// <param name="classes">V.</param>
/// <param name="labels">Per row.</param>
/// <param name="factors">Per row; 0 for a row that counts nothing.</param>
/// <param name="losses">Per row: factor·(log-sum-exp − logit of the label).</param>
/// <param name="gradient">Whether logits are replaced.</param>
internal readonly unsafe struct CrossEntropyRows<T>(byte* logits, long classes, long* labels, float* factors, double* losses, bool gradient) : ICpuKernel
    where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var lease = Workspace.Rent(classes * sizeof(float));
        for (long row = begin; row < end; row++)
        {
            byte* at = logits + (row * classes * T.Size);
            if (factors[row] == 0)
            {
                losses[row] = 0;
                if (gradient)
                {
                    NativeMemory.Clear(at, (nuint)(classes * T.Size));
                }
                continue;
            }
            float* x = RowLoad.Widen<S, V, T>(at, classes, lease.Floats);
            float max = Max<S, V>(x);
            float sum = RowSum.Over<S, V, Powers>(new(x, max), classes).First;
            losses[row] = factors[row] * (Math.Log(sum) + max - x[labels[row]]);
            if (gradient)
            {
                Replace<S, V>(x, at, max, factors[row] / sum, labels[row], factors[row]);
            }
        }
    }

    private float Max<S, V>(float* x) where S : struct, ISimd<V> where V : unmanaged
    {
        var max = S.Create(x[0]);
        long i = 0;
        for (; i + S.Width <= classes; i += S.Width)
        {
            max = S.Max(max, S.Load(x + i));
        }
        // Lanes are folded one by one: a NaN in any of them must come through.
        float* lanes = stackalloc float[S.Width];
        S.Store(lanes, max);
        float result = lanes[0];
        for (int lane = 1; lane < S.Width; lane++)
        {
            result = MathF.Max(result, lanes[lane]);
        }
        for (; i < classes; i++)
        {
            result = MathF.Max(result, x[i]);
        }
        return result;
    }

    private void Replace<S, V>(float* x, byte* to, float max, float scale, long label, float factor) where S : struct, ISimd<V> where V : unmanaged
    {
        // The label's own entry is factor·(p − 1), rounded once.
        float atLabel = (scale * SimdMath.Exp<SimdScalar, float>(x[label] - max)) - factor;
        long i = 0;
        for (; i + S.Width <= classes; i += S.Width)
        {
            T.Store<S, V>(to, i, S.Mul(S.Create(scale), SimdMath.Exp<S, V>(S.Sub(S.Load(x + i), S.Create(max)))));
        }
        for (; i < classes; i++)
        {
            T.Store<SimdScalar, float>(to, i, scale * SimdMath.Exp<SimdScalar, float>(x[i] - max));
        }
        T.Store<SimdScalar, float>(to, label, atLabel);
    }

    private readonly struct Powers(float* x, float max) : IRowTerms
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged =>
            first = S.Add(first, SimdMath.Exp<S, V>(S.Sub(S.Load(x + i), S.Create(max))));
    }
}
