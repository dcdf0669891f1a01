using System.Runtime.InteropServices;

namespace SailVit.Kernels.Interop;

/// <summary>Calls that libtorch dispatches beneath autograd, as its own autograd kernels do: past whatever is registered for
/// the key ADInplaceOrView.</summary>
/// <remarks>The functions are C++ exports with C-compatible signatures: the C shim has none for this.</remarks>
internal readonly unsafe ref struct BelowAutograd : IDisposable
{
    private static readonly delegate* unmanaged<ushort, byte> IsExcluded =
        (delegate* unmanaged<ushort, byte>)Find("_ZN3c104impl28tls_is_dispatch_key_excludedENS_11DispatchKeyE", "?tls_is_dispatch_key_excluded@impl@c10@@YA_NW4DispatchKey@2@@Z");

    private static readonly delegate* unmanaged<ushort, byte, void> SetExcluded =
        (delegate* unmanaged<ushort, byte, void>)Find("_ZN3c104impl29tls_set_dispatch_key_excludedENS_11DispatchKeyEb", "?tls_set_dispatch_key_excluded@impl@c10@@YAXW4DispatchKey@2@_N@Z");

    private static readonly delegate* unmanaged<ushort, byte*> NameOf =
        (delegate* unmanaged<ushort, byte*>)Find("_ZN3c108toStringENS_11DispatchKeyE", "?toString@c10@@YAPEBDW4DispatchKey@1@@Z");

    // The number of a key changes between versions, its name does not.
    private static readonly ushort Key = FindKey();

    private readonly bool _entered;

    private BelowAutograd(bool entered) => _entered = entered;

    /// <summary>Whether this libtorch offers it.</summary>
    public static bool IsSupported => IsExcluded is not null && SetExcluded is not null && Key != 0;

    /// <summary>Begins such calls on this thread. Under an autograd kernel it is the state already; in inference mode it is not.</summary>
    public static BelowAutograd Enter()
    {
        if (IsExcluded(Key) != 0)
        {
            return default;
        }
        SetExcluded(Key, 1);
        return new(entered: true);
    }

    public void Dispose()
    {
        if (_entered)
        {
            SetExcluded(Key, 0);
        }
    }

    private static ushort FindKey()
    {
        const ushort MostKeys = 64;
        for (ushort key = 1; NameOf is not null && key < MostKeys; key++)
        {
            if (Marshal.PtrToStringUTF8((nint)NameOf(key)) == "ADInplaceOrView")
            {
                return key;
            }
        }
        return 0;
    }

    private static void* Find(string itaniumName, string microsoftName) =>
        NativeLibrary.TryGetExport(LibTorch.CoreLibrary, OperatingSystem.IsWindows() ? microsoftName : itaniumName, out var address) ? (void*)address : null;
}
