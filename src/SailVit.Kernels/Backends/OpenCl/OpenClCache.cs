using System.Security.Cryptography;
using System.Text;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Where one kernel's binary for one device and driver lies on disk.</summary>
/// <remarks>The file: the length of the entry's name, the name, the driver's binary, and SHA-256 of all before it, so that a file
/// cut short is compiled anew. Files of other versions stay; all may be deleted at any time.</remarks>
internal sealed class OpenClCache
{
    private OpenClCache(string? path) => FilePath = path;

    /// <summary>Null where there is no folder for it.</summary>
    public string? FilePath { get; }

    public static OpenClCache For(PortableKernel kernel, OpenClDevice device)
    {
        var key = string.Join('\n', kernel.Identity, KernelCompiler.Version, device.Platform, device.Name, device.Vendor, device.Version, device.DriverVersion);
        var name = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..32];
        return new(UserCache.Folder("opencl") is { } folder ? Path.Combine(folder, $"{name}.clbin") : null);
    }

    public (string Name, byte[] Binary)? Read()
    {
        try
        {
            return FilePath is not null && File.Exists(FilePath) ? Parse(File.ReadAllBytes(FilePath)) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Keeps a binary for the next process; without a writable folder there is none to keep.</summary>
    public void Write(string name, byte[] binary)
    {
        if (FilePath is null)
        {
            return;
        }
        byte[] text = Encoding.UTF8.GetBytes(name);
        byte[] content = [.. BitConverter.GetBytes(text.Length), .. text, .. binary];
        UserCache.TryWrite(FilePath, [.. content, .. SHA256.HashData(content)], out _);
    }

    private static (string Name, byte[] Binary)? Parse(byte[] file)
    {
        int end = file.Length - SHA256.HashSizeInBytes;
        if (end < sizeof(int) || !SHA256.HashData(file.AsSpan(0, end)).AsSpan().SequenceEqual(file.AsSpan(end)))
        {
            return null;
        }
        int length = BitConverter.ToInt32(file);
        return (Encoding.UTF8.GetString(file, sizeof(int), length), file[(sizeof(int) + length)..end]);
    }
}
