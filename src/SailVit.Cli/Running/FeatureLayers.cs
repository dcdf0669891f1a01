using System.Globalization;
using SailVit.Model.Encoders;

namespace SailVit.Cli.Running;

/// <summary>Which features are wanted: the last hidden state, hidden states by number, or both.</summary>
internal sealed record FeatureLayers(bool Last, IReadOnlyList<int> Hidden)
{
    public const string LastKey = "last";

    /// <summary>Keys in the output file.</summary>
    public IEnumerable<string> Keys => Hidden.Select(HiddenKey).Concat(Last ? [LastKey] : []);

    public static string HiddenKey(int layer) => $"hidden.{layer}";

    /// <summary>Highest number: InternViT counts the embedding as 0, AIMv2 begins with the first block.</summary>
    public static int Highest(EncoderConfig config) => config.HiddenStates - 1;

    /// <summary>Reads a list such as <c>0,3,last</c>.</summary>
    public static FeatureLayers Parse(string text, EncoderConfig config)
    {
        var hidden = new SortedSet<int>();
        bool last = false;
        foreach (string word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (word.Equals(LastKey, StringComparison.OrdinalIgnoreCase))
            {
                last = true;
            }
            else if (int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int layer) && layer <= Highest(config))
            {
                hidden.Add(layer);
            }
            else
            {
                throw new ArgumentException($"--layers has '{word}'; it must be a list of last and numbers from 0 to {Highest(config)}, as in 0,3,last.");
            }
        }
        return new FeatureLayers(last, [.. hidden]);
    }
}
