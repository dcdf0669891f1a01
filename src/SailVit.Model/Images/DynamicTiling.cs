namespace SailVit.Model.Images;

/// <summary>Cuts an image of any shape into a grid of square tiles, as the InternVL and SAIL-VL models were trained.</summary>
/// <param name="MinTiles">Fewest tiles, thumbnail not counted.</param>
/// <param name="MaxTiles">Most tiles, thumbnail not counted.</param>
/// <param name="TileSize">Edge of a tile in pixels.</param>
/// <param name="Thumbnail">Whether the whole image follows as one more tile when there are several.</param>
public sealed record DynamicTiling(int MinTiles = 1, int MaxTiles = 6, int TileSize = 448, bool Thumbnail = false) : ImageSplit
{
    /// <summary>Most tiles that an image can be cut into; the grids to try grow with their square.</summary>
    public const int MostTiles = 1024;

    /// <summary>The grid for an image: the one whose aspect ratio is nearest.</summary>
    /// <remarks>Grids are tried by number of tiles, then by columns. On an exact tie the later one wins only if the image
    /// has more than half the pixels that it would be given.</remarks>
    public (int Columns, int Rows) Grid(int width, int height)
    {
        if (width < 1 || height < 1 || MinTiles < 1 || MaxTiles < MinTiles || MaxTiles > MostTiles || TileSize < 1)
        {
            throw new ArgumentException($"Tiling an image of {width} × {height} px into {MinTiles} to {MaxTiles} tiles of {TileSize} px is not possible: all must be at least 1, in order, and at most {MostTiles:N0} tiles.");
        }
        double aspect = (double)width / height, area = (double)width * height, bestDistance = double.PositiveInfinity;
        var best = (Columns: 1, Rows: 1);
        for (int tiles = MinTiles; tiles <= MaxTiles; tiles++)
        {
            for (int columns = 1; columns <= tiles; columns++)
            {
                if (tiles % columns != 0)
                {
                    continue;
                }
                int rows = tiles / columns;
                double distance = Math.Abs(aspect - ((double)columns / rows));
                if (distance < bestDistance || (distance == bestDistance && area > 0.5 * TileSize * TileSize * tiles))
                {
                    best = (columns, rows);
                    bestDistance = distance;
                }
            }
        }
        return best;
    }

    /// <summary>How many tiles an image gives, with its thumbnail.</summary>
    public override int Count(int width, int height)
    {
        var (columns, rows) = Grid(width, height);
        return (columns * rows) + (Thumbnail && columns * rows > 1 ? 1 : 0);
    }

    /// <summary>The tiles of an image, row by row, then the thumbnail.</summary>
    public override IReadOnlyList<RgbImage> Split(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        var (columns, rows) = Grid(image.Width, image.Height);
        var whole = BicubicResize.Resize(image, columns * TileSize, rows * TileSize);
        var tiles = new List<RgbImage>();
        for (int i = 0; i < columns * rows; i++)
        {
            tiles.Add(whole.Crop(i % columns * TileSize, i / columns * TileSize, TileSize, TileSize));
        }
        if (Thumbnail && tiles.Count > 1)
        {
            tiles.Add(BicubicResize.Resize(image, TileSize, TileSize));
        }
        return tiles;
    }

    /// <inheritdoc/>
    public override ImageSplit Share(int images) => this with { MaxTiles = Math.Max(MaxTiles / Math.Max(images, 1), MinTiles) };

    internal override string Show(int count) => $"{count:N0} tiles";
}
