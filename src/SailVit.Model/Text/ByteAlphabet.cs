namespace SailVit.Model.Text;

/// <summary>GPT-2's printable character for each of the 256 bytes, in which vocabularies are written.</summary>
internal static class ByteAlphabet
{
    private const int Bytes = 256;

    /// <summary>The character of each byte: itself where it is printable, else the next free one from U+0100 on.</summary>
    public static readonly IReadOnlyList<char> Chars = Make();

    private static readonly Dictionary<char, byte> Values = Chars.Select((c, b) => (c, b)).ToDictionary(x => x.c, x => (byte)x.b);

    /// <summary>The bytes of a token; null where it holds a character of no byte.</summary>
    public static byte[]? Decode(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!Values.TryGetValue(token[i], out bytes[i]))
            {
                return null;
            }
        }
        return bytes;
    }

    /// <summary>Bytes as text of this alphabet.</summary>
    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        char[] chars = new char[bytes.Length];
        for (int i = 0; i < chars.Length; i++)
        {
            chars[i] = Chars[bytes[i]];
        }
        return new string(chars);
    }

    private static char[] Make()
    {
        char[] chars = new char[Bytes];
        int next = Bytes;
        for (int b = 0; b < Bytes; b++)
        {
            bool printable = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            chars[b] = (char)(printable ? b : next++);
        }
        return chars;
    }
}
