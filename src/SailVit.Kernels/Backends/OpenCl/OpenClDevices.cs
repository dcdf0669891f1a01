using System.Globalization;
using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>The OpenCL devices of this machine, and the one in use.</summary>
public static unsafe class OpenClDevices
{
    /// <summary>Chooses a device: its number in <c>sailvit doctor</c>, or a part of its name or platform.</summary>
    public const string DeviceVariable = "SAILVIT_OPENCL_DEVICE";

    private const int PlatformNotFound = -1001;

    private const int DeviceNotFound = -1;

    private static readonly Lazy<IReadOnlyList<OpenClDevice>> Found = new(Find);

    private static readonly Lazy<OpenClDevice> Chosen = new(() => Choose(All, Environment.GetEnvironmentVariable(DeviceVariable)));

    /// <summary>All devices of all drivers; empty where there is no OpenCL.</summary>
    public static IReadOnlyList<OpenClDevice> All => Found.Value;

    /// <summary>The device that <see cref="DeviceVariable"/> names, else the first GPU, else the first device.</summary>
    /// <exception cref="PlatformNotSupportedException">There is none, or none of that name.</exception>
    public static OpenClDevice Current => Chosen.Value;

    internal static OpenClDevice Choose(IReadOnlyList<OpenClDevice> devices, string? wanted)
    {
        if (devices.Count == 0)
        {
            throw new PlatformNotSupportedException(IsPresent
                ? "OpenCL is installed, but no driver offers a device; install one, such as pocl-opencl-icd, intel-opencl-icd or the vendor's."
                : "OpenCL is not installed; install the vendor's driver, or the packages ocl-icd-libopencl1 and pocl-opencl-icd.");
        }
        if (string.IsNullOrEmpty(wanted))
        {
            return devices.FirstOrDefault(d => !d.IsCpu) ?? devices[0];
        }
        bool isIndex = int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out int index);
        var match = devices.FirstOrDefault(d => isIndex ? d.Index == index : d.ToString().Contains(wanted, StringComparison.OrdinalIgnoreCase));
        return match ?? throw new PlatformNotSupportedException(
            $"{DeviceVariable}={wanted} is no OpenCL device; there are {string.Join(", ", devices.Select(d => $"{d.Index}: {d}"))}.");
    }

    private static List<OpenClDevice> Find()
    {
        var found = new List<OpenClDevice>();
        if (!IsPresent)
        {
            return found;
        }
        foreach (nint platform in Handles((n, p, c) => clGetPlatformIDs(n, p, c)))
        {
            foreach (nint device in Handles((n, p, c) => clGetDeviceIDs(platform, AllDevices, n, p, c)))
            {
                var described = new OpenClDevice(found.Count, platform, device);
                if (described.IsUsable)
                {
                    found.Add(described);
                }
            }
        }
        return found;
    }

    private static nint[] Handles(Listing list)
    {
        uint count;
        int status = list(0, null, &count);
        if (status is PlatformNotFound or DeviceNotFound || (status == 0 && count == 0))
        {
            return [];
        }
        OpenClException.Check(status, "Listing OpenCL devices");
        var handles = new nint[count];
        fixed (nint* p = handles)
        {
            OpenClException.Check(list(count, p, null), "Listing OpenCL devices");
        }
        return handles;
    }

    private delegate int Listing(uint count, nint* handles, uint* found);
}
