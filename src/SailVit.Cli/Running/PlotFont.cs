using ScottPlot;
using SkiaSharp;

namespace SailVit.Cli.Running;

/// <summary>Text of plots in the font that travels with the command: a bare system has none, and text would be blank.</summary>
internal sealed class PlotFont : IFontResolver
{
    private const string Name = "DejaVu Sans";

    private PlotFont() { }

    /// <summary>Makes it the font of all plots.</summary>
    public static void Use()
    {
        if (Fonts.Default != Name)
        {
            Fonts.FontResolvers.Insert(0, new PlotFont());
            Fonts.Default = Fonts.Sans = Name;
        }
    }

    public SKTypeface? CreateTypeface(string fontName, bool bold, bool italic) => fontName == Name ? Load() : null;

    public SKTypeface? CreateTypeface(string fontName, FontWeight weight, FontSlant slant, FontSpacing spacing) => fontName == Name ? Load() : null;

    private static SKTypeface? Load()
    {
        using var stream = typeof(PlotFont).Assembly.GetManifestResourceStream("DejaVuSans.ttf");
        return stream is null ? null : SKTypeface.FromStream(stream);
    }
}
