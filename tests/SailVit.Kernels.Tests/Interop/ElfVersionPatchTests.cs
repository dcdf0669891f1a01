using System.Buffers.Binary;
using System.Text;
using SailVit.Kernels.Interop;
using Xunit;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>On a small ELF file made here, on damaged ones, and on TorchSharp's own library.</summary>
public sealed class ElfVersionPatchTests
{
    private const string Error = "libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by x.so)";
    private const int Flags = 64 + 16 + 4;

    /// <summary>Header, .gnu.version_r with one file and one version, strings, .gnu.version, .rela with one entry.</summary>
    private static byte[] Elf(string version, int relocatedSymbol)
    {
        const int need = 64, strings = 128, versym = 160, rela = 168, table = 192;
        var elf = new byte[table + 5 * 64];
        "\u007fELF\u0002\u0001"u8.CopyTo(elf);
        Put(0x28, table, 8);
        Put(0x3A, 64, 2);
        Put(0x3C, 5, 2);
        Put(need, 1, 2);
        Put(need + 2, 1, 2);
        Put(need + 8, 16, 4);
        // The version's index, which symbol 2 carries.
        Put(need + 16 + 6, 7, 2);
        Put(versym + 4, 7, 2);
        Encoding.ASCII.GetBytes(version).CopyTo(elf, strings);
        Put(rela + 12, relocatedSymbol, 4);
        Section(1, 0x6ffffffe, need, 32, 2);
        Section(2, 3, strings, 32, 0);
        Section(3, 0x6fffffff, versym, 8, 0);
        Section(4, 4, rela, 24, 0);
        return elf;

        void Put(int at, long value, int bytes)
        {
            Span<byte> cell = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(cell, value);
            cell[..bytes].CopyTo(elf.AsSpan(at));
        }

        void Section(int index, long type, int offset, int size, int link)
        {
            int header = table + 64 * index;
            Put(header + 4, type, 4);
            Put(header + 24, offset, 8);
            Put(header + 32, size, 8);
            Put(header + 40, link, 4);
        }
    }

    [Fact]
    public void TheNamedVersion_BecomesWeak()
    {
        var elf = Elf("GLIBCXX_3.4.32", relocatedSymbol: 1);
        var before = (byte[])elf.Clone();
        Assert.True(ElfVersionPatch.WeakenUnresolvable(elf, Error));
        Assert.Equal(2, elf[Flags]);
        elf[Flags] = 0;
        Assert.Equal(before, elf);
    }

    [Theory]
    [InlineData("GLIBCXX_3.4.30", 1)]
    [InlineData("GLIBC_2.38", 1)]
    // Its symbol is used: weak, it would end the process at the first call.
    [InlineData("GLIBCXX_3.4.32", 2)]
    public void AnythingElse_StaysAsItIs(string version, int relocatedSymbol)
    {
        var elf = Elf(version, relocatedSymbol);
        var before = (byte[])elf.Clone();
        Assert.False(ElfVersionPatch.WeakenUnresolvable(elf, Error.Replace("GLIBC_2.38", version, StringComparison.Ordinal)));
        Assert.Equal(before, elf);
    }

    [Fact]
    public void DamagedFiles_AreRefusedQuietly()
    {
        var random = new Random(20260);
        var whole = Elf("GLIBCXX_3.4.32", relocatedSymbol: 1);
        for (int length = 0; length < whole.Length; length++)
        {
            ElfVersionPatch.WeakenUnresolvable(whole.AsSpan(0, length).ToArray(), Error);
        }
        for (int i = 0; i < 50_000; i++)
        {
            var elf = Elf("GLIBCXX_3.4.32", relocatedSymbol: 1);
            for (int changes = random.Next(1, 8); changes > 0; changes--)
            {
                elf[random.Next(6, elf.Length)] = random.Next(3) switch { 0 => 0, 1 => 0xff, _ => (byte)random.Next(256) };
            }
            ElfVersionPatch.WeakenUnresolvable(elf, Error);
        }
    }

    [Fact]
    public void NoElf_IsRefused()
    {
        Assert.False(ElfVersionPatch.WeakenUnresolvable([], Error));
        Assert.False(ElfVersionPatch.WeakenUnresolvable(Encoding.ASCII.GetBytes(new string('x', 500)), Error));
    }

    [Fact]
    public void TorchSharpsLibrary_ChangesInOneByte()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the ELF library is on Linux only");
        var original = File.ReadAllBytes(OriginalLibrary);
        var patched = (byte[])original.Clone();
        Assert.True(ElfVersionPatch.WeakenUnresolvable(patched, Error));
        Assert.Equal(1, original.Zip(patched).Count(p => p.First != p.Second));
        // A version whose symbols the library does use, on any system.
        Assert.False(ElfVersionPatch.WeakenUnresolvable(patched, "version `GLIBCXX_3.4' not found"));
    }

    /// <summary>TorchSharp's own library: beside the adapted copy, or itself in use.</summary>
    internal static string OriginalLibrary => Path.Combine(AppContext.BaseDirectory, "libLibTorchSharp.so");
}
