using System.Globalization;
using System.Text;

namespace SailVit.Model.Text;

/// <summary>Unicode's normalisation form C, as tokenizers apply it before they split.</summary>
/// <remarks>
/// Own, since .NET's returns text beyond ASCII unchanged when globalisation is invariant, as it is here.
/// Source: Unicode Standard Annex 15, and The Unicode Standard §3.12 for Hangul.
/// </remarks>
internal static class Composition
{
    // Below it every text is composed already.
    private const char FirstCombining = '\u0300';

    private const int SBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7, LCount = 19, VCount = 21, TCount = 28, SCount = LCount * VCount * TCount;

    private static readonly Dictionary<int, int[]> Decompositions = [];
    private static readonly Dictionary<(int First, int Second), int> Compositions = [];
    private static readonly Dictionary<int, byte> Classes = [];

    // Code points that may change: marks, those that are never composed, and second halves of a composition.
    private static readonly HashSet<int> Unstable = [];

    static Composition()
    {
        using var stream = typeof(Composition).Assembly.GetManifestResourceStream("canonical.txt")!;
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#'))
            {
                continue;
            }
            if (line.IndexOfAny(['=', '!']) is var split && split < 0)
            {
                ReadClass(line);
            }
            else
            {
                ReadDecomposition(Hex(line[..split]), [.. line[(split + 1)..].Split(' ').Select(Hex)], line[split] == '=');
            }
        }
        Unstable.UnionWith(Enumerable.Range(VBase, VCount).Concat(Enumerable.Range(TBase, TCount)));
    }

    /// <summary>The text in form C; the same object where it is already.</summary>
    public static string Compose(string text)
    {
        if (!MayChange(text))
        {
            return text;
        }
        var points = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, points);
        }
        Order(points);
        Join(points);
        var result = new StringBuilder(points.Count);
        points.ForEach(point => result.Append(new Rune(point)));
        return result.ToString();
    }

    private static bool MayChange(string text)
    {
        if (text.AsSpan().IndexOfAnyExceptInRange('\0', (char)(FirstCombining - 1)) < 0)
        {
            return false;
        }
        foreach (var rune in text.EnumerateRunes())
        {
            if (rune.Value >= FirstCombining && Unstable.Contains(rune.Value))
            {
                return true;
            }
        }
        return false;
    }

    private static void Decompose(int point, List<int> points)
    {
        if (point is >= SBase and < SBase + SCount)
        {
            int s = point - SBase;
            points.Add(LBase + (s / (VCount * TCount)));
            points.Add(VBase + (s % (VCount * TCount) / TCount));
            if (s % TCount != 0)
            {
                points.Add(TBase + (s % TCount));
            }
        }
        else if (Decompositions.TryGetValue(point, out int[]? parts))
        {
            foreach (int part in parts)
            {
                Decompose(part, points);
            }
        }
        else
        {
            points.Add(point);
        }
    }

    // Marks in the order of their classes; those of one class, and starters, stay where they are.
    private static void Order(List<int> points)
    {
        for (int start = 0; start < points.Count;)
        {
            int end = start;
            while (end < points.Count && Class(points[end]) != 0)
            {
                end++;
            }
            if (end - start > 1)
            {
                var marks = points.GetRange(start, end - start).OrderBy(Class).ToList();
                points.RemoveRange(start, marks.Count);
                points.InsertRange(start, marks);
            }
            start = end + 1;
        }
    }

    private static void Join(List<int> points)
    {
        int starter = -1, last = -1, count = 0;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i], mark = Class(point);
            // A mark joins its starter unless one of its class, or a starter, lies between.
            bool free = starter >= 0 && (last < mark || last < 0);
            if (free && Pair(points[starter], point) is { } joined)
            {
                points[starter] = joined;
                continue;
            }
            if (mark == 0)
            {
                (starter, last) = (count, -1);
            }
            else
            {
                last = mark;
            }
            points[count++] = point;
        }
        points.RemoveRange(count, points.Count - count);
    }

    private static int? Pair(int first, int second)
    {
        if (first is >= LBase and < LBase + LCount && second is >= VBase and < VBase + VCount)
        {
            return SBase + ((((first - LBase) * VCount) + second - VBase) * TCount);
        }
        if (first is >= SBase and < SBase + SCount && (first - SBase) % TCount == 0 && second is > TBase and < TBase + TCount)
        {
            return first + second - TBase;
        }
        return Compositions.TryGetValue((first, second), out int joined) ? joined : null;
    }

    private static byte Class(int point) => Classes.GetValueOrDefault(point);

    private static void ReadDecomposition(int point, int[] parts, bool composes)
    {
        Decompositions[point] = parts;
        if (!composes)
        {
            Unstable.Add(point);
            return;
        }
        Compositions[(parts[0], parts[1])] = point;
        Unstable.Add(parts[1]);
    }

    private static void ReadClass(string line)
    {
        string[] parts = line.Split('-', ' ');
        for (int point = Hex(parts[0]); point <= Hex(parts[1]); point++)
        {
            Classes[point] = byte.Parse(parts[2], CultureInfo.InvariantCulture);
            Unstable.Add(point);
        }
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
