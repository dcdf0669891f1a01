using System.Runtime.InteropServices;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>An operator of libtorch with a kernel here.</summary>
internal interface IAcceleratedOperator
{
    /// <summary>Name with namespace, null-terminated.</summary>
    static abstract ReadOnlySpan<byte> Name { get; }

    /// <summary>Kinds of its arguments, see <see cref="OperatorCall"/>.</summary>
    static abstract ReadOnlySpan<byte> Arguments { get; }

    /// <summary>Whether the kernel computes this call. Changes nothing.</summary>
    static abstract bool Serves(in OperatorCall call);

    /// <summary>Results, null for an undefined one. Tensors made on the way are freed by the caller.</summary>
    static abstract Tensor?[] Run(in OperatorCall call);

    /// <summary>libtorch's own kernel: takes the arguments over and leaves results, undefined ones if it fails.</summary>
    static abstract void RunStock(in OperatorCall call);

    /// <summary>Sizes of results that libtorch may hand on as gradients; null for one that may be undefined.</summary>
    static virtual long[]?[] GradientSizes(in OperatorCall call) => [];
}

/// <summary>Where libtorch enters. No exception leaves, and every call gets results.</summary>
internal static unsafe class OperatorEntry
{
    public static void AddMatrixProducts(OperatorLibrary belowAutograd, OperatorLibrary backendSelect)
    {
        belowAutograd.Add("mm\0"u8, &Mm);
        belowAutograd.Add("bmm\0"u8, &Bmm);
    }

    public static void AddLayerNorm(OperatorLibrary belowAutograd, OperatorLibrary backendSelect)
    {
        belowAutograd.Add("native_layer_norm\0"u8, &LayerNorm);
        belowAutograd.Add("native_layer_norm_backward\0"u8, &LayerNormBackward);
    }

    public static void AddAttention(OperatorLibrary belowAutograd, OperatorLibrary backendSelect)
    {
        belowAutograd.Add("_scaled_dot_product_flash_attention_for_cpu\0"u8, &Attention);
        backendSelect.Add("_scaled_dot_product_flash_attention_for_cpu_backward\0"u8, &AttentionBackward);
    }

    public static void AddActivations(OperatorLibrary belowAutograd, OperatorLibrary backendSelect)
    {
        belowAutograd.Add("gelu\0"u8, &Gelu);
        belowAutograd.Add("gelu_backward\0"u8, &GeluBackward);
        belowAutograd.Add("silu\0"u8, &Silu);
        backendSelect.Add("silu_backward\0"u8, &SiluBackward);
    }

    // Unmanaged entry points cannot be generic.
    [UnmanagedCallersOnly]
    private static void Mm(ulong* stack, ulong arguments, ulong results) => Handle<MatrixProduct>(stack, AcceleratedOps.MatrixProducts);

    [UnmanagedCallersOnly]
    private static void Bmm(ulong* stack, ulong arguments, ulong results) => Handle<BatchedMatrixProduct>(stack, AcceleratedOps.MatrixProducts);

    [UnmanagedCallersOnly]
    private static void LayerNorm(ulong* stack, ulong arguments, ulong results) => Handle<NativeLayerNorm>(stack, AcceleratedOps.LayerNorm);

    [UnmanagedCallersOnly]
    private static void LayerNormBackward(ulong* stack, ulong arguments, ulong results) => Handle<NativeLayerNormBackward>(stack, AcceleratedOps.LayerNorm);

    [UnmanagedCallersOnly]
    private static void Attention(ulong* stack, ulong arguments, ulong results) => Handle<FlashAttention>(stack, AcceleratedOps.Attention);

    [UnmanagedCallersOnly]
    private static void AttentionBackward(ulong* stack, ulong arguments, ulong results) => Handle<FlashAttentionBackward>(stack, AcceleratedOps.Attention);

    [UnmanagedCallersOnly]
    private static void Gelu(ulong* stack, ulong arguments, ulong results) => Handle<GeluForward>(stack, AcceleratedOps.Activations);

    [UnmanagedCallersOnly]
    private static void GeluBackward(ulong* stack, ulong arguments, ulong results) => Handle<GeluGradient>(stack, AcceleratedOps.Activations);

    [UnmanagedCallersOnly]
    private static void Silu(ulong* stack, ulong arguments, ulong results) => Handle<SiluForward>(stack, AcceleratedOps.Activations);

    [UnmanagedCallersOnly]
    private static void SiluBackward(ulong* stack, ulong arguments, ulong results) => Handle<SiluGradient>(stack, AcceleratedOps.Activations);

    private static void Handle<TOperator>(ulong* stack, AcceleratedOps group) where TOperator : IAcceleratedOperator
    {
        var call = new OperatorCall(stack, TOperator.Arguments);
        // Ops that a kernel calls on the way are libtorch's own, without a graph.
        using var below = BelowAutograd.Enter();
        if (OperatorTable.Installed.HasFlag(group) && TryRun<TOperator>(call))
        {
            return;
        }
        if (!AutogradEngine.IsRunning)
        {
            TOperator.RunStock(call);
            return;
        }
        var gradients = new Gradients(call, TOperator.GradientSizes(call));
        TOperator.RunStock(call);
        gradients.RefuseUndefined(call, TOperator.Name);
    }

    // A failure here (no memory for a workspace, say) is no reason to fail: libtorch's kernel gets the same arguments.
    private static bool TryRun<TOperator>(in OperatorCall call) where TOperator : IAcceleratedOperator
    {
        try
        {
            // The kernels are the processor's.
            bool served = !Dispatcher.UsesOpenCl && TOperator.Serves(call);
            Log<TOperator>(call, served ? "cpu" : "libtorch");
            if (!served)
            {
                return false;
            }
            using var scope = NewDisposeScope();
            call.Return(TOperator.Run(call));
            return true;
        }
        catch (Exception e)
        {
            Log<TOperator>(call, $"libtorch, after {e.GetType().Name}: {e.Message}");
            return false;
        }
    }

    private static void Log<TOperator>(in OperatorCall call, string backend) where TOperator : IAcceleratedOperator
    {
        if (SailVitEventSource.Log.IsEnabled())
        {
            SailVitEventSource.Log.Dispatched(System.Text.Encoding.UTF8.GetString(TOperator.Name[..^1]), backend, call.ToString());
        }
    }
}
