using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>The products of linear layers by the own kernels of the backend in use, on tensors of any strides. Outputs are row-major.</summary>
internal static unsafe class OwnLinear
{
    /// <summary>y = F(x·wᵀ + b) + residual; stores x·wᵀ + b as well where <paramref name="before"/> is given. Few rows read the
    /// weight as it is where no graph is recorded.</summary>
    public static void Forward(Tensor x, Tensor weight, PackedWeight? packed, Tensor? bias, Activation activation, Tensor? residual, Tensor? before, Tensor y, bool training = true)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LinearOpenCl.Forward(x, weight, packed, bias, activation, residual, before, y);
            return;
        }
        using var left = new TensorMatrix(x);
        using var w = new TensorMatrix(weight);
        using var added = residual is null ? default : new TensorMatrix(residual);
        using var lease = Workspace.Rent(BiasBytes(w.View.Rows));
        ElementDispatch.For(left.View.DType, new ForwardCall
        {
            Left = left.View,
            Weight = w.View,
            Packed = packed,
            Activation = activation,
            FewRows = !training && Linear.FewRows.Take(left.View, w.View),
            Bias = WideBias(bias, lease.Floats),
            Residual = added.View,
            Before = Data(before),
            Output = Data(y),
        });
    }

    /// <summary>y = silu(x·gᵀ + bg)·(x·uᵀ + bu); stores both factors before the activation where <paramref name="gate"/> is given.</summary>
    public static void SwiGlu(Tensor x, Tensor gateWeight, Tensor upWeight, PackedWeight? packed, Tensor? gateBias, Tensor? upBias, Tensor? gate, Tensor? up, Tensor y)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LinearOpenCl.SwiGlu(x, gateWeight, upWeight, packed, gateBias, upBias, gate, up, y);
            return;
        }
        using var left = new TensorMatrix(x);
        using var g = new TensorMatrix(gateWeight);
        using var u = new TensorMatrix(upWeight);
        using var gateLease = Workspace.Rent(BiasBytes(g.View.Rows));
        using var upLease = Workspace.Rent(BiasBytes(g.View.Rows));
        ElementDispatch.For(left.View.DType, new SwiGluCall
        {
            Left = left.View,
            GateWeight = g.View,
            UpWeight = u.View,
            Packed = packed,
            FewRows = gate is null && Linear.FewRows.Take(left.View, g.View) && Linear.FewRows.Take(left.View, u.View),
            GateBias = WideBias(gateBias, gateLease.Floats),
            UpBias = WideBias(upBias, upLease.Floats),
            Gate = Data(gate),
            Up = Data(up),
            Output = Data(y),
        });
    }

    /// <summary>dx = dy·w, or dx += dy·w.</summary>
    public static void InputGradient(Tensor dy, Tensor weight, Tensor dx, bool add)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LinearOpenCl.InputGradient(dy, weight, dx, add);
            return;
        }
        using var left = new TensorMatrix(dy);
        using var w = new TensorMatrix(weight);
        using var result = new TensorMatrix(dx);
        ElementDispatch.For(left.View.DType, new ProductCall
        {
            Left = left.View,
            Right = w.View,
            Add = add,
            Output = result.View,
        });
    }

    /// <summary>dw = dyᵀ·x, or dw += dyᵀ·x.</summary>
    public static void WeightGradient(Tensor dy, Tensor x, Tensor dw, bool add = false)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LinearOpenCl.WeightGradient(dy, x, dw, add);
            return;
        }
        using var left = new TensorMatrix(dy);
        using var right = new TensorMatrix(x);
        using var result = new TensorMatrix(dw);
        ElementDispatch.For(left.View.DType, new ProductCall
        {
            Left = left.View,
            LeftTransposed = true,
            Right = right.View,
            Add = add,
            Output = result.View,
        });
    }

    private static long BiasBytes(long columns) => PackedMatrix.StripsOf(columns) * PackedMatrix.StripColumns * sizeof(float);

    private static float* WideBias(Tensor? bias, float* buffer)
    {
        if (bias is null)
        {
            return null;
        }
        using var row = new TensorMatrix(bias);
        row.View.CopyRow<SimdScalar, float>(0, 0, row.View.Columns, buffer);
        return buffer;
    }

    private static byte* Data(Tensor? tensor) => tensor is null ? null : new TensorView(tensor).Data;

    private readonly struct ForwardCall : IElementCall
    {
        public required MatrixView Left { get; init; }

        public required MatrixView Weight { get; init; }

        public required PackedWeight? Packed { get; init; }

        public required Activation Activation { get; init; }

        public required bool FewRows { get; init; }

        public required float* Bias { get; init; }

        public required MatrixView Residual { get; init; }

        public required byte* Before { get; init; }

        public required byte* Output { get; init; }

        public void Invoke<T>() where T : unmanaged, IElement => ActivationDispatch.For(Activation, new Typed<T>(this));

        private readonly struct Typed<T>(ForwardCall call) : IActivationCall where T : unmanaged, IElement
        {
            public void Invoke<F, P>() where F : unmanaged, ISimdActivation where P : unmanaged, ISimdActivation
            {
                var epilogue = new LinearEpilogue<T, F>
                {
                    Bias = call.Bias,
                    Residual = call.Residual,
                    BeforeActivation = call.Before,
                    Output = call.Output,
                    Columns = call.Weight.Rows,
                };
                if (call.FewRows)
                {
                    Linear.FewRows.Run<T, LinearEpilogue<T, F>>(call.Left, call.Weight, default, epilogue);
                }
                else if (call.Packed is { } packed)
                {
                    Gemm.Run(new LeftRows(call.Left), call.Left.Rows, packed.Matrix(), epilogue);
                }
                else
                {
                    Gemm.Run(new LeftRows(call.Left), call.Left.Rows, RightOperand.Transposed(call.Weight), epilogue);
                }
            }
        }
    }

    private readonly struct SwiGluCall : IElementCall
    {
        public required MatrixView Left { get; init; }

        public required MatrixView GateWeight { get; init; }

        public required MatrixView UpWeight { get; init; }

        public required bool FewRows { get; init; }

        public required PackedWeight? Packed { get; init; }

        public required float* GateBias { get; init; }

        public required float* UpBias { get; init; }

        public required byte* Gate { get; init; }

        public required byte* Up { get; init; }

        public required byte* Output { get; init; }

        public void Invoke<T>() where T : unmanaged, IElement
        {
            var epilogue = new SwiGluEpilogue<T>
            {
                GateBias = GateBias,
                UpBias = UpBias,
                Gate = Gate,
                Up = Up,
                Output = Output,
                Columns = GateWeight.Rows,
            };
            if (FewRows)
            {
                Linear.FewRows.Run<T, SwiGluEpilogue<T>>(Left, GateWeight, UpWeight, epilogue);
            }
            else if (Packed is { } packed)
            {
                Gemm.Run(new LeftRows(Left), Left.Rows, packed.Matrix(), epilogue);
            }
            else
            {
                Gemm.Run(new LeftRows(Left), Left.Rows, RightOperand.TransposedPair(GateWeight, UpWeight), epilogue);
            }
        }
    }

    /// <summary>output (+)= left·right or leftᵀ·right.</summary>
    private readonly struct ProductCall : IElementCall
    {
        public required MatrixView Left { get; init; }

        public bool LeftTransposed { get; init; }

        public required MatrixView Right { get; init; }

        public bool Add { get; init; }

        public required MatrixView Output { get; init; }

        public void Invoke<T>() where T : unmanaged, IElement
        {
            // An element is read, added to and written by one thread: the output can be its own residual.
            var epilogue = new LinearEpilogue<T, Identity> { Residual = Add ? Output : default, Output = Output.Data, Columns = Output.Columns };
            if (LeftTransposed)
            {
                Gemm.RunTransposed(Left, Right, epilogue);
            }
            else
            {
                Gemm.Run(new LeftRows(Left), Left.Rows, RightOperand.Of(Right), epilogue);
            }
        }
    }
}
