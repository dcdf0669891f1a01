using System.Buffers.Binary;
using System.Security.Cryptography;

namespace SailVit.Kernels.Interop;

/// <summary>Lets a library built with GCC 13 load with the libstdc++ of GCC 12 or older.</summary>
/// <remarks>
/// libLibTorchSharp.so asks for GLIBCXX_3.4.32 because of one symbol, std::ios_base_library_init(), that no relocation
/// uses. Marking that requirement weak (VER_FLG_WEAK in vna_flags of the entry in .gnu.version_r) is enough for the
/// dynamic linker. The original file is never touched: a copy is written beside it, or into the user's cache folder where
/// the install folder is read-only, under a name that carries the content's hash.
/// </remarks>
internal static class ElfVersionPatch
{
    private const uint GnuVerneed = 0x6ffffffe;
    private const ushort VersionFlagWeak = 2;

    public static string LoadPatchedCopy(string library, string error)
    {
        var bytes = File.ReadAllBytes(library);
        var hash = Convert.ToHexStringLower(SHA256.HashData(bytes))[..16];
        if (!WeakenUnresolvable(bytes, error))
        {
            throw new LibTorchException($"{library} needs a newer C++ runtime than this system has: {error}. Install a newer libstdc++6.");
        }
        var failures = new List<string>();
        foreach (var folder in CandidateFolders(library))
        {
            var copy = Path.Combine(folder, $"libLibTorchSharp.{hash}.so");
            try
            {
                WriteOnce(copy, bytes);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                failures.Add($"{folder}: {e.Message}");
                continue;
            }
            if (LibTorchLoader.TryLoad(copy, out var message))
            {
                return copy;
            }
            failures.Add($"{copy}: {message}");
        }
        throw new LibTorchException($"{library} cannot be adapted to this system's C++ runtime ({error}). Tried {string.Join("; ", failures)}");
    }

    internal static IEnumerable<string> CandidateFolders(string library)
    {
        yield return Path.GetDirectoryName(library)!;
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        yield return Path.Combine(cache, "sailvit", "native");
        yield return Path.Combine(Path.GetTempPath(), $"sailvit-{Environment.UserName}");
    }

    /// <summary>Writes beside, then renames: another process that starts at the same moment sees a whole file or none.</summary>
    internal static void WriteOnce(string path, byte[] bytes)
    {
        if (File.Exists(path) && new FileInfo(path).Length == bytes.Length && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes))
        {
            return;
        }
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp";
        try
        {
            File.WriteAllBytes(temporary, bytes);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Marks weak every version requirement that <paramref name="error"/> names. 64-bit little-endian ELF.</summary>
    internal static bool WeakenUnresolvable(Span<byte> elf, string error)
    {
        if (elf.Length < 64 || !elf[..6].SequenceEqual("\u007fELF\u0002\u0001"u8))
        {
            return false;
        }
        long sectionTable = BinaryPrimitives.ReadInt64LittleEndian(elf[0x28..]);
        int entrySize = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3A..]);
        int sections = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3C..]);
        bool changed = false;
        for (int i = 0; i < sections; i++)
        {
            var header = elf.Slice(checked((int)(sectionTable + (long)i * entrySize)), entrySize);
            if (BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) == GnuVerneed)
            {
                int link = BinaryPrimitives.ReadInt32LittleEndian(header[0x28..]);
                var strings = elf.Slice(checked((int)(sectionTable + (long)link * entrySize)), entrySize);
                changed |= WeakenSection(elf, SectionOffset(header), SectionOffset(strings), error);
            }
        }
        return changed;
    }

    private static int SectionOffset(ReadOnlySpan<byte> header) => checked((int)BinaryPrimitives.ReadInt64LittleEndian(header[0x18..]));

    // Elf64_Verneed: vn_version u16, vn_cnt u16, vn_file u32, vn_aux u32, vn_next u32.
    // Elf64_Vernaux: vna_hash u32, vna_flags u16, vna_other u16, vna_name u32, vna_next u32.
    private static bool WeakenSection(Span<byte> elf, int section, int strings, string error)
    {
        bool changed = false;
        for (int need = section; ;)
        {
            int aux = need + BinaryPrimitives.ReadInt32LittleEndian(elf[(need + 8)..]);
            for (int left = BinaryPrimitives.ReadUInt16LittleEndian(elf[(need + 2)..]); left > 0; left--)
            {
                var name = elf[(strings + BinaryPrimitives.ReadInt32LittleEndian(elf[(aux + 8)..]))..];
                var version = System.Text.Encoding.ASCII.GetString(name[..name.IndexOf((byte)0)]);
                // The linker names the first version it misses; the later ones of the same family are missing too.
                if (version.StartsWith("GLIBCXX_", StringComparison.Ordinal) && error.Contains($"`{version}'", StringComparison.Ordinal))
                {
                    var flags = elf[(aux + 4)..];
                    BinaryPrimitives.WriteUInt16LittleEndian(flags, (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(flags) | VersionFlagWeak));
                    changed = true;
                }
                aux += BinaryPrimitives.ReadInt32LittleEndian(elf[(aux + 12)..]);
            }
            int next = BinaryPrimitives.ReadInt32LittleEndian(elf[(need + 12)..]);
            if (next == 0)
            {
                return changed;
            }
            need += next;
        }
    }
}
