using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>The products of linear layers on the OpenCL device in use. Outputs are row-major.</summary>
internal static unsafe class LinearOpenCl
{
    /// <summary>See <see cref="OwnLinear.Forward"/>.</summary>
    public static void Forward(Tensor x, Tensor weight, PackedWeight? packed, Tensor? bias, Activation activation, Tensor? residual, Tensor? before, Tensor y)
    {
        using var left = new OpenClMatrix(x);
        using var w = new OpenClMatrix(weight);
        using var b = new FloatRow(bias, w.View.Rows);
        using var added = Rows.Of(residual, 1);
        var output = new LinearOutput(new TensorView(y).Data, left.View.Rows, w.View.Rows)
        {
            Bias = b.Data,
            Residual = added.Data,
            ResidualStride = added.Stride,
            Before = before is null ? null : new TensorView(before).Data,
        };
        Run(new MatrixPanels(left.View, columns: false), new MatrixPanels(w.View, columns: false), packed, activation, output, left.View.DType);
    }

    /// <summary>See <see cref="OwnLinear.SwiGlu"/>.</summary>
    public static void SwiGlu(Tensor x, Tensor gateWeight, Tensor upWeight, PackedWeight? packed, Tensor? gateBias, Tensor? upBias, Tensor? gate, Tensor? up, Tensor y)
    {
        using var left = new OpenClMatrix(x);
        using var g = new OpenClMatrix(gateWeight);
        using var u = new OpenClMatrix(upWeight);
        using var bg = new FloatRow(gateBias, g.View.Rows);
        using var bu = new FloatRow(upBias, g.View.Rows);
        var output = new LinearOutput(new TensorView(y).Data, left.View.Rows, g.View.Rows)
        {
            Bias = bg.Data,
            UpBias = bu.Data,
            Before = gate is null ? null : new TensorView(gate).Data,
            UpBefore = up is null ? null : new TensorView(up).Data,
        };
        var operands = new Operands(new(left.View, columns: false), new(g.View, columns: false), new(u.View, columns: false), packed);
        PortableDispatch.For(left.View.DType, new SwiGluCall(operands, output));
    }

    /// <summary>See <see cref="OwnLinear.InputGradient"/>.</summary>
    public static void InputGradient(Tensor dy, Tensor weight, Tensor dx, bool add)
    {
        using var left = new OpenClMatrix(dy);
        using var w = new OpenClMatrix(weight);
        Product(new MatrixPanels(left.View, columns: false), new MatrixPanels(w.View, columns: true), dx, add);
    }

    /// <summary>See <see cref="OwnLinear.WeightGradient"/>.</summary>
    public static void WeightGradient(Tensor dy, Tensor x, Tensor dw, bool add)
    {
        using var left = new OpenClMatrix(dy);
        using var right = new OpenClMatrix(x);
        Product(new MatrixPanels(left.View, columns: true), new MatrixPanels(right.View, columns: true), dw, add);
    }

    /// <summary>y = F(A·B + bias) + residual of any operands.</summary>
    public static void Run<A, B>(A left, B right, PackedWeight? packed, Activation activation, LinearOutput output, DType dtype)
        where A : struct, IPanelSource
        where B : struct, IPanelSource => PortableDispatch.For(dtype, new ForwardCall<A, B>(left, right, packed, activation, output));

    /// <summary>Σ over rows, of any strides.</summary>
    public static void BiasGradient(Tensor dy, Tensor result)
    {
        using var matrix = new OpenClMatrix(dy);
        var x = matrix.View;
        OpenClSums.Run(x.Data, x.DType, x.Rows, x.RowStride, new TensorView(result).Data, new TensorView(result).DType, x.Columns, x.ColumnStride);
    }

    /// <summary>result = A·B, or result += A·B; of any dtype.</summary>
    public static void Product<A, B>(A left, B right, Tensor result, bool add) where A : struct, IPanelSource where B : struct, IPanelSource
    {
        var view = new TensorView(result);
        // An element is read, added to and written by one work-item: the output can be its own residual.
        var output = new LinearOutput(view.Data, left.Lines, right.Lines) { Residual = add ? view.Data : null, ResidualStride = right.Lines };
        Run(left, right, null, Activation.None, output, view.DType);
    }

    // A packed weight lies in the host's memory: a device with its own, where the weight itself is kept, packs that each time.
    private static bool KeepsWeights => DeviceMemory.Current is not null;

    private readonly record struct Operands(MatrixPanels Left, MatrixPanels Gate, MatrixPanels Up, PackedWeight? Packed);

    private readonly struct ForwardCall<A, B>(A left, B right, PackedWeight? packed, Activation activation, LinearOutput output) : IPortableCall
        where A : struct, IPanelSource
        where B : struct, IPanelSource
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T> => ActivationDispatch.For(activation, new Of<T>(left, right, packed, output));

        private readonly struct Of<T>(A left, B right, PackedWeight? packed, LinearOutput output) : IActivationCall where T : unmanaged, IPortableElement<T>
        {
            public void Invoke<F, P>() where F : unmanaged, ISimdActivation where P : unmanaged, ISimdActivation
            {
                var launch = new LinearLaunch<T, P>(output);
                if (packed is null || KeepsWeights)
                {
                    OpenClProduct.Run(left, right, launch);
                }
                else
                {
                    OpenClProduct.Run(left, packed.Matrix(), launch);
                }
            }
        }
    }

    private readonly struct SwiGluCall(Operands o, LinearOutput output) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            var launch = new LinearSwiGluLaunch<T>(output);
            if (o.Packed is null || KeepsWeights)
            {
                OpenClProduct.RunPair(o.Left, o.Gate, o.Up, launch);
            }
            else
            {
                OpenClProduct.Run(o.Left, o.Packed.Matrix(), launch);
            }
        }
    }
}
