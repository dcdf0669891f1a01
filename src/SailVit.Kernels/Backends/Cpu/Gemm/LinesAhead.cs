using System.Runtime.Intrinsics.X86;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Rows that will be stored or read next, asked for tile by tile while sums are made: what comes from memory would be waited for,
/// by a block's stores in one go, or by a product whose blocks are too short for the processor to foresee the next.</summary>
/// <param name="first">First row; null for nowhere.</param>
/// <param name="second">A second matrix of the same shape; null for none.</param>
/// <param name="rowBytes">From one row to the next.</param>
/// <param name="bytes">Of a row.</param>
/// <param name="rowsPerTile">Rows asked for at each tile.</param>
internal readonly unsafe struct LinesAhead(byte* first, byte* second, long rowBytes, int bytes, int rowsPerTile = GemmTile.MaxRows)
{
    private const int LineBytes = 64;

    private readonly byte* _first = Sse.IsSupported ? first : null;
    private readonly byte* _second = Sse.IsSupported ? second : null;

    public bool IsAny => _first != null || _second != null;

    /// <summary>Asks for the rows of a tile. Rows beyond the last are only asked for.</summary>
    public void Step(long tile)
    {
        long at = tile * rowsPerTile * rowBytes;
        Prefetch(_first, at);
        Prefetch(_second, at);
    }

    private void Prefetch(byte* output, long at)
    {
        for (int r = 0; output != null && r < rowsPerTile; r++)
        {
            for (int b = 0; b < bytes; b += LineBytes)
            {
                Sse.Prefetch1(output + at + (r * rowBytes) + b);
            }
        }
    }
}
