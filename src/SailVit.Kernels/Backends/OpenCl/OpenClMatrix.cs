using SailVit.Kernels.Backends.Cpu.Gemm;
using static TorchSharp.torch;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>A tensor of rank 1 or more read as a matrix by two strides. A layout that no stride between rows reaches (a transposed
/// batch) is copied first.</summary>
internal readonly struct OpenClMatrix : IDisposable
{
    private readonly TensorMatrix _matrix;
    private readonly Tensor? _copy;

    public unsafe OpenClMatrix(Tensor tensor)
    {
        _matrix = new(tensor);
        if (_matrix.View.RowOffsets != null)
        {
            _matrix.Dispose();
            DeviceMemory.Current?.Download(tensor);
            _copy = tensor.contiguous();
            _matrix = new(_copy);
        }
    }

    public MatrixView View => _matrix.View;

    public void Dispose()
    {
        _matrix.Dispose();
        _copy?.Dispose();
    }
}
