namespace SailVit.Kernels.Backends.Portable;

/// <summary>A choice that is fixed when a kernel is compiled: a branch inside its loops would keep them from becoming vectors.</summary>
internal interface IFlag
{
    static abstract bool IsSet { get; }
}

internal readonly struct Yes : IFlag
{
    public static bool IsSet => true;
}

internal readonly struct No : IFlag
{
    public static bool IsSet => false;
}
