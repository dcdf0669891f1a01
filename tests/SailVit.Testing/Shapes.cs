namespace SailVit.Testing;

/// <summary>Sizes at which kernels break: powers of two and their neighbours, class-token counts, widths of real models.</summary>
public static class Shapes
{
    /// <summary>Token counts; N % 128 = 64 and counts with a class token are among them.</summary>
    public static readonly int[] Tokens = [1, 2, 5, 16, 17, 49, 50, 64, 97, 127, 128, 129, 192, 196, 197, 256, 257, 320, 384, 577, 704, 729, 1024, 1025, 1369, 2048, 4096];

    /// <summary>Token counts that keep a test under a second.</summary>
    public static readonly int[] FewTokens = [1, 2, 5, 16, 17, 50, 64, 97, 127, 128, 129, 192, 197, 257];

    /// <summary>Channels per attention head, 8 to 256.</summary>
    public static readonly int[] HeadDims = [8, 16, 32, 40, 48, 64, 72, 80, 88, 96, 104, 112, 128, 160, 192, 256];

    /// <summary>Head dims off every vector width.</summary>
    public static readonly int[] OddHeadDims = [9, 17, 33, 59, 65, 111, 127, 255];

    /// <summary>Batch × heads.</summary>
    public static readonly int[] BatchHeads = [1, 3, 7, 132];

    /// <summary>Row widths, 1 to 16,384.</summary>
    public static readonly int[] Widths = [1, 3, 64, 96, 192, 384, 576, 768, 1000, 1024, 1152, 1280, 1408, 1536, 2048, 3000, 4096, 6144, 12288, 16384];

    /// <summary>Around every vector width and unrolling of it.</summary>
    public static readonly int[] EdgeWidths = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257];

    /// <summary>Row counts.</summary>
    public static readonly int[] Rows = [1, 2, 31, 199, 1025];
}
