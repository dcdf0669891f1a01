namespace SailVit.Kernels;

/// <summary>Functions that a linear layer applies to its sums before they are stored.</summary>
public enum Activation
{
    /// <summary>x.</summary>
    None,

    /// <summary>x·Φ(x), Φ by the error function.</summary>
    Gelu,

    /// <summary>½x·(1 + tanh(√(2/π)·(x + 0.044715 x³))).</summary>
    GeluTanh,

    /// <summary>x / (1 + e^−x).</summary>
    Silu,
}
