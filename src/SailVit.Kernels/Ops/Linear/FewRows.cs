using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Dispatch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>Products of so few rows that reading the weight is all their cost: generation, token by token.</summary>
internal static unsafe class FewRows
{
    /// <summary>Whether the weight is read where it lies: a packed float32 copy would be as many bytes, or twice those of 16 bits.</summary>
    public static bool Take(in MatrixView left, in MatrixView weight) =>
        left.Rows <= LinearDispatch.FewRows && weight.ColumnStride == 1 && weight.RowOffsets == null;

    /// <summary>epilogue(x·wᵀ), or of the pair x·wᵀ, x·uᵀ.</summary>
    public static void Run<T, E>(MatrixView x, MatrixView weight, MatrixView up, E epilogue)
        where T : unmanaged, IElement
        where E : unmanaged, IEpilogue
    {
        if (x.Rows > 0)
        {
            var kernel = new FewRowsKernel<T, E>(x, weight, up, epilogue);
            CpuBackend.Run(kernel, kernel.Items, 1);
        }
    }
}
