using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

/// <summary>Launches the softmax of a chunk of logits on the OpenCL device in use; see <see cref="CrossEntropyRows{T}"/>.</summary>
internal readonly unsafe struct CrossEntropyOpenCl(byte* logits, long rows, long classes, long* labels, float* factors, double* losses, bool gradient) : IPortableCall
{
    private const int Results = CrossEntropyPortable<PortableF32, OneLane>.Results;

    public void Invoke<T>() where T : unmanaged, IPortableElement<T>
    {
        using var lease = Workspace.Rent(rows * Results * sizeof(float));
        HostArray[] arrays =
        [
            HostArray.Read(logits, rows * classes, sizeof(T)) with { IsWritten = gradient },
            HostArray.Read(labels, rows, sizeof(long)),
            HostArray.Read(factors, rows, sizeof(float)),
            HostArray.Write(lease.Floats, rows * Results, sizeof(float)),
        ];
        var scalars = new CrossEntropyScalars { Classes = classes, Gradient = gradient ? 1 : 0 };
        OpenClRows.Run(CrossEntropyPortable<T, OneLane>.Kernel, CrossEntropyPortable<T, ManyLanes>.Kernel, rows, arrays, scalars);
        for (long row = 0; row < rows; row++)
        {
            // In float64, which a device may lack: a number per row.
            float* r = lease.Floats + (row * Results);
            losses[row] = factors[row] == 0 ? 0 : factors[row] * (Math.Log(r[1]) + r[0] - r[2]);
        }
    }
}
