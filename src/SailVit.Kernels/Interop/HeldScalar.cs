using TorchSharp;

namespace SailVit.Kernels.Interop;

/// <summary>Numbers for TorchSharp's calls that the collector never frees.</summary>
/// <remarks>TorchSharp wraps each number that it is given in an object which the collector may free while libtorch still reads it: the call
/// then throws, or computes with another number. <c>x.add(y)</c> and <c>x + y</c> are such calls, with a factor of 1 on <c>y</c>.
/// Other numbers are held by a <c>using Scalar</c> around the call.</remarks>
public static class HeldScalar
{
    /// <summary>1: the factor on what is added.</summary>
    public static Scalar One { get; } = 1;

    /// <summary>0: where counting starts. <c>arange(n)</c> makes both this and a step of 1 itself.</summary>
    public static Scalar Zero { get; } = 0;
}
