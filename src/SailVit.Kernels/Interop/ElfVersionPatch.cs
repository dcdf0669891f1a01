using System.Buffers.Binary;
using System.Text;

namespace SailVit.Kernels.Interop;

/// <summary>Lets a library built with GCC 13 load with the libstdc++ of GCC 12 or older.</summary>
/// <remarks>
/// libLibTorchSharp.so asks for GLIBCXX_3.4.32 because of one symbol, std::ios_base_library_init(), that no relocation
/// uses. Marking that requirement weak (VER_FLG_WEAK in vna_flags of the entry in .gnu.version_r) is enough for the dynamic
/// linker. A requirement whose symbols are used stays: the process would end at the first call.
/// Structures: System V ABI, 64-bit little-endian ELF; Linux Standard Base, symbol versioning.
/// </remarks>
internal static class ElfVersionPatch
{
    private const uint Rela = 4;
    private const uint GnuVerneed = 0x6ffffffe;
    private const uint GnuVersym = 0x6fffffff;
    private const ushort VersionFlagWeak = 2;

    /// <summary>Marks weak the version requirement that <paramref name="error"/> names, the linker's message.</summary>
    /// <returns>Whether one was found and marked; false also for what is no ELF file, or a damaged one.</returns>
    public static bool WeakenUnresolvable(Span<byte> elf, string error)
    {
        if (elf.Length < 64 || !elf[..6].SequenceEqual("\u007fELF\u0002\u0001"u8))
        {
            return false;
        }
        try
        {
            bool changed = false;
            foreach (var section in Sections(elf))
            {
                changed |= section.Type == GnuVerneed && WeakenSection(elf, section, error);
            }
            return changed;
        }
        catch (Exception e) when (e is ArgumentOutOfRangeException or OverflowException or IndexOutOfRangeException)
        {
            // An offset leads out of the file.
            return false;
        }
    }

    // Elf64_Verneed: vn_version u16, vn_cnt u16, vn_file u32, vn_aux u32, vn_next u32.
    // Elf64_Vernaux: vna_hash u32, vna_flags u16, vna_other u16, vna_name u32, vna_next u32.
    private static bool WeakenSection(Span<byte> elf, Section section, string error)
    {
        int strings = Sections(elf)[(int)section.Link].Offset;
        bool changed = false;
        // Each step goes forward, so that a damaged chain ends outside the file.
        for (int need = section.Offset, next = 1; next > 0; need += next)
        {
            int aux = need + Int(elf, need + 8);
            for (int left = UShort(elf, need + 2); left > 0; left--)
            {
                var version = Text(elf, strings + Int(elf, aux + 8));
                if (version.StartsWith("GLIBCXX_", StringComparison.Ordinal)
                    && error.Contains($"`{version}'", StringComparison.Ordinal)
                    && !IsUsed(elf, UShort(elf, aux + 6)))
                {
                    BinaryPrimitives.WriteUInt16LittleEndian(elf[(aux + 4)..], (ushort)(UShort(elf, aux + 4) | VersionFlagWeak));
                    changed = true;
                }
                aux += Int(elf, aux + 12);
            }
            next = Int(elf, need + 12);
        }
        return changed;
    }

    /// <summary>Whether a relocation refers to a symbol of this version.</summary>
    private static bool IsUsed(ReadOnlySpan<byte> elf, ushort version)
    {
        var sections = Sections(elf);
        var versions = sections[sections.FindIndex(s => s.Type == GnuVersym)];
        foreach (var relocations in sections.Where(s => s.Type == Rela))
        {
            // Elf64_Rela: r_offset u64, r_info u64 (symbol in the upper half), r_addend i64.
            for (int entry = relocations.Offset; entry < relocations.Offset + relocations.Size; entry += 24)
            {
                int symbol = Int(elf, entry + 12);
                if (symbol != 0 && UShort(elf, versions.Offset + 2 * symbol) == version)
                {
                    return true;
                }
            }
        }
        return false;
    }

    private static List<Section> Sections(ReadOnlySpan<byte> elf)
    {
        // Elf64_Shdr: sh_type at 4, sh_offset at 24, sh_size at 32, sh_link at 40.
        var sections = new List<Section>();
        int table = Offset(elf, 0x28);
        int size = UShort(elf, 0x3A);
        for (int i = 0, header = table; i < UShort(elf, 0x3C); i++, header += size)
        {
            sections.Add(new((uint)Int(elf, header + 4), Offset(elf, header + 24), Offset(elf, header + 32), Int(elf, header + 40)));
        }
        return sections;
    }

    private readonly record struct Section(uint Type, int Offset, int Size, int Link);

    private static string Text(ReadOnlySpan<byte> elf, int at) => Encoding.ASCII.GetString(elf.Slice(at, elf[at..].IndexOf((byte)0)));

    private static int Offset(ReadOnlySpan<byte> elf, int at) => checked((int)BinaryPrimitives.ReadInt64LittleEndian(elf[at..]));

    private static int Int(ReadOnlySpan<byte> elf, int at) => BinaryPrimitives.ReadInt32LittleEndian(elf[at..]);

    private static ushort UShort(ReadOnlySpan<byte> elf, int at) => BinaryPrimitives.ReadUInt16LittleEndian(elf[at..]);
}
