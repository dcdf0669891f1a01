using System.Globalization;
using SailVit.Model.Checkpoints;
using SkiaSharp;

namespace SailVit.Cli.Quickstart;

/// <summary>One photograph and the colours of its patches, row-major RGB.</summary>
internal sealed record FeaturePanel(string Title, string PhotoPath, int Rows, int Columns, byte[] Colors);

/// <summary>A labelled time for the bar chart.</summary>
internal sealed record TimingBar(string Label, double Milliseconds, SKColor Color);

/// <summary>Draws each photograph above its patch features, and the timings below.</summary>
internal static class FeaturePicture
{
    private const int Tile = 260;
    private const int Gap = 16;
    private const int TextHeight = 30;
    private const int BarHeight = 36;

    public static void Save(string path, IReadOnlyList<FeaturePanel> panels, IReadOnlyList<TimingBar> bars, string caption)
    {
        int width = Math.Max(panels.Count * (Tile + Gap) + Gap, 3 * (Tile + Gap) + Gap);
        int chartTop = TextHeight + 2 * (Tile + Gap) + Gap;
        int height = chartTop + TextHeight + bars.Count * (BarHeight + Gap) + Gap;
        using var surface = SKSurface.Create(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque));
        var canvas = surface.Canvas;
        canvas.Clear(SKColors.White);
        using var typeface = LoadTypeface();
        using var font = new SKFont(typeface, 16);
        using var ink = new SKPaint { Color = new SKColor(0x22, 0x22, 0x22), IsAntialias = true };

        for (int i = 0; i < panels.Count; i++)
        {
            int x = Gap + i * (Tile + Gap);
            canvas.DrawText(panels[i].Title, x, TextHeight - 8, SKTextAlign.Left, font, ink);
            DrawPhoto(canvas, panels[i].PhotoPath, SKRect.Create(x, TextHeight, Tile, Tile));
            DrawColors(canvas, panels[i], SKRect.Create(x, TextHeight + Tile + Gap, Tile, Tile));
        }
        canvas.DrawText(caption, Gap, chartTop + TextHeight - 12, SKTextAlign.Left, font, ink);
        DrawBars(canvas, bars, chartTop + TextHeight, width, font, ink);
        Write(surface, path);
    }

    private static void DrawPhoto(SKCanvas canvas, string path, SKRect target)
    {
        using var bitmap = SKBitmap.Decode(path);
        using var image = SKImage.FromBitmap(bitmap);
        canvas.DrawImage(image, target, new SKSamplingOptions(SKCubicResampler.CatmullRom));
    }

    private static void DrawColors(SKCanvas canvas, FeaturePanel panel, SKRect target)
    {
        using var bitmap = new SKBitmap(panel.Columns, panel.Rows, SKColorType.Rgba8888, SKAlphaType.Opaque);
        for (int i = 0; i < panel.Rows * panel.Columns; i++)
        {
            bitmap.SetPixel(i % panel.Columns, i / panel.Columns, new SKColor(panel.Colors[3 * i], panel.Colors[3 * i + 1], panel.Colors[3 * i + 2]));
        }
        using var image = SKImage.FromBitmap(bitmap);
        canvas.DrawImage(image, target, new SKSamplingOptions(SKFilterMode.Nearest));
    }

    private static void DrawBars(SKCanvas canvas, IReadOnlyList<TimingBar> bars, int top, int width, SKFont font, SKPaint ink)
    {
        float labelWidth = bars.Max(b => font.MeasureText(b.Label)) + Gap;
        float valueWidth = bars.Max(b => font.MeasureText(Value(b))) + Gap;
        float full = width - 3 * Gap - labelWidth - valueWidth;
        double longest = bars.Max(b => b.Milliseconds);
        for (int i = 0; i < bars.Count; i++)
        {
            float y = top + i * (BarHeight + Gap);
            float length = (float)(full * bars[i].Milliseconds / longest);
            using var fill = new SKPaint { Color = bars[i].Color };
            canvas.DrawText(bars[i].Label, Gap, y + BarHeight * 0.65f, SKTextAlign.Left, font, ink);
            canvas.DrawRect(Gap + labelWidth, y, length, BarHeight, fill);
            canvas.DrawText(Value(bars[i]), Gap + labelWidth + length + Gap / 2f, y + BarHeight * 0.65f, SKTextAlign.Left, font, ink);
        }
    }

    private static string Value(TimingBar bar) => bar.Milliseconds.ToString("N0", CultureInfo.InvariantCulture) + " ms";

    // The font travels with the command: a bare system has none, and text would be blank.
    private static SKTypeface LoadTypeface()
    {
        using var stream = typeof(FeaturePicture).Assembly.GetManifestResourceStream("DejaVuSans.ttf")!;
        return SKTypeface.FromStream(stream);
    }

    private static void Write(SKSurface surface, string path)
    {
        using var image = surface.Snapshot();
        using var data = image.Encode(SKEncodedImageFormat.Png, 100);
        Files.WriteAtomically(path, data.SaveTo);
    }
}
