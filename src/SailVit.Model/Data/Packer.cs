namespace SailVit.Model.Data;

/// <summary>Chooses the samples of a batch.</summary>
internal static class Packer
{
    /// <summary>Takes samples out of a buffer that fit the budgets together: the oldest, then always the longest that still fits.</summary>
    /// <remarks>The oldest must come, so that no sample, however awkward its size, waits for ever.</remarks>
    /// <param name="buffer">Candidates, oldest first; each fits alone.</param>
    /// <param name="maxTokens">Most tokens.</param>
    /// <param name="maxTiles">Most tiles.</param>
    public static List<EncodedSample> Take(List<EncodedSample> buffer, int maxTokens, int maxTiles)
    {
        var pack = new List<EncodedSample>();
        for (int next = buffer.Count > 0 ? 0 : -1; next >= 0; next = Longest(buffer, maxTokens, maxTiles))
        {
            var sample = buffer[next];
            buffer.RemoveAt(next);
            pack.Add(sample);
            maxTokens -= sample.Length;
            maxTiles -= sample.Tiles;
        }
        return pack;
    }

    // Of several the oldest; −1 where none fits.
    private static int Longest(List<EncodedSample> buffer, int maxTokens, int maxTiles)
    {
        int best = -1;
        for (int i = 0; i < buffer.Count; i++)
        {
            if (buffer[i].Length <= maxTokens && buffer[i].Tiles <= maxTiles && (best < 0 || buffer[i].Length > buffer[best].Length))
            {
                best = i;
            }
        }
        return best;
    }
}
