namespace SailVit.Kernels.Ops.Norm;

/// <summary>What tells the two row norms apart; a constant to the compiler, so that each kernel holds one only.</summary>
internal interface INormKind
{
    static abstract string Name { get; }

    /// <summary>Whether the row's mean is taken off (LayerNorm) or not (RMSNorm).</summary>
    static abstract bool Centers { get; }
}

/// <summary>y = (x − μ)·r·γ + β with r = 1/√(σ² + ε).</summary>
internal readonly struct Centered : INormKind
{
    public static string Name => "layer_norm";

    public static bool Centers => true;
}

/// <summary>y = x·r·γ with r = 1/√(mean(x²) + ε).</summary>
internal readonly struct RootMeanSquare : INormKind
{
    public static string Name => "rms_norm";

    public static bool Centers => false;
}
