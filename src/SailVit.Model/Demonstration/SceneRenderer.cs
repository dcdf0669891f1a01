using SkiaSharp;

namespace SailVit.Model.Demonstration;

/// <summary>Paints scenes.</summary>
/// <remarks>Edges are smoothed by SkiaSharp on the CPU; its result may differ in last bits between processor architectures.
/// Letters are drawn from a table, not with a font of the system.</remarks>
public static class SceneRenderer
{
    /// <summary>Edge of a picture in pixels.</summary>
    public const int Size = 72;

    private const int Third = Size / 3, Dot = 2, Lines = 5;

    /// <summary>Paints a scene as a PNG file.</summary>
    public static byte[] ToPng(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        using var bitmap = new SKBitmap(new SKImageInfo(Size, Size, SKColorType.Rgba8888, SKAlphaType.Opaque));
        using (var canvas = new SKCanvas(bitmap))
        {
            Decorate(canvas, new Random(scene.Decoration));
            foreach (var shape in scene.Shapes)
            {
                Paint(canvas, shape);
            }
            if (scene.Text is { } text)
            {
                Write(canvas, text);
            }
        }
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }

    /// <summary>A picture without anything, for models that are not to see.</summary>
    public static byte[] Blank()
    {
        using var bitmap = new SKBitmap(new SKImageInfo(Size, Size, SKColorType.Rgba8888, SKAlphaType.Opaque));
        bitmap.Erase(SKColors.LightGray);
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }

    // A tinted background with thin lines, so that not every edge is a shape's.
    private static void Decorate(SKCanvas canvas, Random random)
    {
        byte Light() => (byte)random.Next(200, 256);
        canvas.Clear(new SKColor(Light(), Light(), Light()));
        using var paint = new SKPaint { IsAntialias = true, StrokeWidth = 1, Style = SKPaintStyle.Stroke };
        for (int i = 0; i < Lines; i++)
        {
            byte grey = (byte)random.Next(140, 200);
            paint.Color = new SKColor(grey, grey, grey);
            canvas.DrawLine(random.Next(Size), random.Next(Size), random.Next(Size), random.Next(Size), paint);
        }
    }

    private static void Paint(SKCanvas canvas, SceneShape shape)
    {
        float radius = shape.Large ? 9 : 5.5f;
        using var paint = new SKPaint { IsAntialias = true, Color = Colour(shape.Colour), Style = SKPaintStyle.Fill };
        canvas.Save();
        canvas.Translate(Middle(shape.Place.Column) + shape.Place.Right, Middle(shape.Place.Row) + shape.Place.Down);
        canvas.RotateDegrees(shape.Turn);
        using var path = Path(shape.Kind, radius);
        canvas.DrawPath(path, paint);
        canvas.Restore();
    }

    private static float Middle(int third) => (third + 0.5f) * Third;

    private static SKColor Colour(ShapeColour colour) => colour switch
    {
        ShapeColour.Red => new(210, 40, 40),
        ShapeColour.Green => new(40, 150, 60),
        ShapeColour.Blue => new(40, 70, 210),
        ShapeColour.Yellow => new(225, 190, 30),
        ShapeColour.Purple => new(140, 50, 160),
        _ => new(30, 30, 30),
    };

    private static SKPath Path(ShapeKind kind, float radius) => kind switch
    {
        ShapeKind.Circle => Polygon(48, _ => radius * 0.95f),
        ShapeKind.Square => Polygon(4, _ => radius * 1.2f, 45),
        ShapeKind.Triangle => Polygon(3, _ => radius * 1.2f),
        ShapeKind.Star => Polygon(10, i => radius * (i % 2 == 0 ? 1.2f : 0.5f)),
        _ => Cross(radius),
    };

    private static SKPath Polygon(int corners, Func<int, float> radius, double offset = 0)
    {
        using var builder = new SKPathBuilder();
        builder.AddPoly([.. Enumerable.Range(0, corners).Select(i =>
        {
            var (sin, cos) = Math.SinCos((offset + (360.0 * i / corners)) * Math.PI / 180);
            return new SKPoint((float)(radius(i) * sin), (float)(-radius(i) * cos));
        })], close: true);
        return builder.Detach();
    }

    private static SKPath Cross(float radius)
    {
        float far = radius, near = radius / 3;
        using var builder = new SKPathBuilder();
        builder.AddPoly([new(-near, -far), new(near, -far), new(near, -near), new(far, -near), new(far, near), new(near, near),
            new(near, far), new(-near, far), new(-near, near), new(-far, near), new(-far, -near), new(-near, -near)], close: true);
        return builder.Detach();
    }

    private static void Write(SKCanvas canvas, SceneText text)
    {
        using var paint = new SKPaint { IsAntialias = false, Color = new SKColor(60, 60, 60), Style = SKPaintStyle.Fill };
        int width = ((Glyphs.Columns + 1) * text.Text.Length) - 1;
        float left = Middle(text.Place.Column) - (width * Dot / 2f), top = Middle(text.Place.Row) - (Glyphs.Rows * Dot / 2f);
        for (int i = 0; i < text.Text.Length; i++)
        {
            foreach (var (row, column) in Glyphs.Dots(text.Text[i]))
            {
                canvas.DrawRect(left + (((i * (Glyphs.Columns + 1)) + column) * Dot), top + (row * Dot), Dot, Dot, paint);
            }
        }
    }
}
