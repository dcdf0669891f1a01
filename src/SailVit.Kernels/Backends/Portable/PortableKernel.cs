using System.Reflection;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>A kernel written in C# once for every GPU backend.</summary>
/// <remarks>
/// A static method whose parameters are <c>ArrayView</c>s, then one unmanaged struct of scalars. Work-groups are explicit:
/// <c>Grid.IdxX</c> and <c>Group.IdxX</c>. ILGPU makes the backend's language of it; what it cannot take is in docs/kernels.
/// </remarks>
internal sealed class PortableKernel
{
    /// <param name="body">The method; of a generic type or method, closed.</param>
    /// <param name="reassociate">Whether the compiler may reorder sums, so that those over a row use vectors. Bodies that
    /// depend on the order or on signed zeros must not ask for it.</param>
    public PortableKernel(Delegate body, bool reassociate = false)
    {
        Method = body.Method;
        Reassociates = reassociate;
    }

    public MethodInfo Method { get; }

    public bool Reassociates { get; }

    /// <summary>Names the method, its type arguments and the build that it is of: the key of compiled kernels.</summary>
    public string Identity => $"{Method.DeclaringType}.{Method} {Method.Module.ModuleVersionId} {Reassociates}";
}
