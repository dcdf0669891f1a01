using System.Runtime.Intrinsics.X86;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Where a strip's sums will be stored, asked for tile by tile while the last of them are made: lines of a new output come
/// from memory, and a block's stores in one go would wait for them.</summary>
/// <param name="first">First row of the block; null for nowhere.</param>
/// <param name="second">A second output of the same shape; null for none.</param>
/// <param name="rowBytes">From one row to the next.</param>
/// <param name="bytes">Of a row in this strip.</param>
internal readonly unsafe struct OutputAhead(byte* first, byte* second, long rowBytes, int bytes)
{
    private const int LineBytes = 64;

    private readonly byte* _first = Sse.IsSupported ? first : null;
    private readonly byte* _second = Sse.IsSupported ? second : null;

    /// <summary>Asks for the rows of a tile. Rows beyond the last are only asked for.</summary>
    public void Step(long tile)
    {
        long at = tile * GemmTile.MaxRows * rowBytes;
        Prefetch(_first, at);
        Prefetch(_second, at);
    }

    private void Prefetch(byte* output, long at)
    {
        for (int r = 0; output != null && r < GemmTile.MaxRows; r++)
        {
            for (int b = 0; b < bytes; b += LineBytes)
            {
                Sse.Prefetch1(output + at + (r * rowBytes) + b);
            }
        }
    }
}
