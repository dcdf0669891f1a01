using System.Text.RegularExpressions;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Corrects the OpenCL C that ILGPU 1.5.3 writes.</summary>
internal static partial class OpenClSource
{
    // Functions of Builtin and Vector16, which have no body.
    private const string Builtins = """
        #define Fma fma
        #define Round rint
        #define Splat(a) ((float16)(a))
        #define VectorLoad(p) vload16(0, p)
        #define VectorStore(a, p) vstore16(a, 0, p)
        #define VectorMax(a, b) ((a) > (b) ? (a) : (b))
        #define VectorScaleExp2(a, n) ((a) * as_float16((convert_int16(VectorMax((float16)(-127.0f), n)) + 127) << 23))
        #define VectorWhereNonzero(a, b) ((a) == 0.0f ? (float16)(0.0f) : (b))
        float VectorSum(float16 a) { float8 b = a.lo + a.hi; float4 c = b.lo + b.hi; float2 d = c.lo + c.hi; return d.x + d.y; }
        float VectorLargest(float16 a) { float8 b = fmax(a.lo, a.hi); float4 c = fmax(b.lo, b.hi); float2 d = fmax(c.lo, c.hi); return fmax(d.x, d.y); }

        """;

    /// <param name="source">As ILGPU wrote it.</param>
    /// <param name="kernel">What it is of.</param>
    public static string Correct(string source, PortableKernel kernel)
    {
        // It leaves out the fence of local memory: a data race on every device.
        source = Barrier().Replace(source, "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)");
        // Views never point to local memory, and a pointer that may point anywhere is slow, and unknown to OpenCL 1.2.
        source = source.Replace("typedef __generic ", "typedef global ", StringComparison.Ordinal);
        source = VectorStandIn().Replace(source, "float16");
        // Asked for whether used or not; a device that lacks one refuses the program.
        source = Pragma().Replace(source, "");
        // The driver's compiler plans registers and local memory for the one size that runs.
        source = Entry().Replace(source, $"kernel __attribute__((reqd_work_group_size({kernel.GroupSize}, 1, 1))) void ");
        if (kernel.Reassociates)
        {
            // Only that, where build options would also flush subnormal numbers and replace divisions; compilers that are not
            // Clang's ignore it and are slower.
            source = KernelBody().Replace(source, "$0\n#pragma clang fp reassociate(on)\n");
        }
        return Builtins + source;
    }

    [GeneratedRegex(@"\bwork_group_barrier\s*\(\s*CLK_GLOBAL_MEM_FENCE\s*\)")]
    private static partial Regex Barrier();

    // Vector16, as ILGPU takes it.
    [GeneratedRegex(@"\bdouble\b")]
    private static partial Regex VectorStandIn();

    [GeneratedRegex(@"^#pragma OPENCL EXTENSION .*$", RegexOptions.Multiline)]
    private static partial Regex Pragma();

    [GeneratedRegex(@"^kernel void ", RegexOptions.Multiline)]
    private static partial Regex Entry();

    [GeneratedRegex(@"^kernel [^{]*\{", RegexOptions.Multiline)]
    private static partial Regex KernelBody();
}
