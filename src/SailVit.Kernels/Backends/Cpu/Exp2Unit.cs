namespace SailVit.Kernels.Backends.Cpu;

/// <summary>The factor of <see cref="SimdMath.Exp2"/> in two parts, so that its own rounding does not grow with the argument.</summary>
internal readonly struct Exp2Unit
{
    /// <summary>A factor between 1e-35 and 1e35.</summary>
    public Exp2Unit(double factor)
    {
        Factor = (float)factor;
        Rest = (float)(factor - Factor);
        Lowest = -200 / Factor;
    }

    public float Factor { get; }

    public float Rest { get; }

    /// <summary>Arguments below this one give 0.</summary>
    public float Lowest { get; }
}
