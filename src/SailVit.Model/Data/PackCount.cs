namespace SailVit.Model.Data;

/// <summary>How many packs a stream will fill, which is known in advance only about.</summary>
internal static class PackCount
{
    private const int Probed = 512;

    // What the packer reaches on mixed lengths.
    private const double Filled = 0.97;

    /// <summary>Packs that hold so many epochs, from the mean size of the stream's first samples; depends on the seed alone.</summary>
    /// <exception cref="DatasetException">None of them can be used.</exception>
    public static long Estimate(IReadOnlyList<WeightedSource> sources, SampleEncoder encoder, PackingOptions options, double epochs)
    {
        var mixture = new Mixture(sources, options.Shuffle, options.Seed);
        long[] drawn = new long[mixture.Sources];
        long tokens = 0, tiles = 0, used = 0, probed = Math.Min(Probed, mixture.SamplesPerEpoch);
        string last = "";
        for (long position = 0; position < probed; position++)
        {
            int source = mixture.SourceAt(position);
            try
            {
                var draw = new Draw(position, source, drawn[source]++);
                var sample = encoder.Encode(mixture.Read(draw), draw, options);
                (tokens, tiles, used) = (tokens + sample.Length, tiles + sample.Tiles, used + 1);
            }
            catch (SampleException e)
            {
                last = e.Message;
            }
        }
        if (used == 0)
        {
            throw new DatasetException($"none of the first {probed:N0} samples can be used; the last: {last}");
        }
        double samples = epochs * mixture.SamplesPerEpoch / probed;
        double byTokens = samples * tokens / (Filled * options.MaxTokens), byTiles = options.MaxTiles > 0 ? samples * tiles / (Filled * options.MaxTiles) : 0;
        return Math.Max(1, (long)Math.Ceiling(Math.Max(byTokens, byTiles)));
    }
}
