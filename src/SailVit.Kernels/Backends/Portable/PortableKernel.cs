using System.Reflection;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>A kernel written in C# once for every GPU backend.</summary>
/// <remarks>
/// A static method whose parameters are <c>ArrayView</c>s, then one unmanaged struct of scalars. Work-groups are explicit:
/// <c>Grid.IdxX</c> and <c>Group.IdxX</c>. ILGPU makes the backend's language of it: no host pointers, no 16-bit numbers, no
/// exceptions that can be reached; type arguments stand for what is known when it is compiled.
/// </remarks>
internal sealed class PortableKernel
{
    /// <param name="body">The method; of a generic type or method, closed.</param>
    /// <param name="groupSize">Work-items of a group.</param>
    /// <param name="reassociate">Whether the compiler may reorder sums, so that those over a row use vectors. Bodies that
    /// depend on the order or on signed zeros must not ask for it.</param>
    public PortableKernel(Delegate body, int groupSize, bool reassociate = false)
    {
        Method = body.Method;
        GroupSize = groupSize;
        Reassociates = reassociate;
    }

    public MethodInfo Method { get; }

    /// <summary>For messages: bodies are all called alike.</summary>
    public string Name => $"{Method.DeclaringType?.Name}.{Method.Name}";

    public int GroupSize { get; }

    public bool Reassociates { get; }

    /// <summary>Names the method, its type arguments and the build that it is of: the key of compiled kernels.</summary>
    public string Identity => $"{Method.DeclaringType}.{Method} {Method.Module.ModuleVersionId} {GroupSize} {Reassociates}";
}
