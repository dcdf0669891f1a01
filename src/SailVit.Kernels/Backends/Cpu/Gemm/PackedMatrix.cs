namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The right matrix of a product, [K, N], laid out as the product reads it: strips of 64 columns, each four
/// panels of 16 columns, each panel K rows of one cache line. Every vector width reads this one layout.</summary>
internal readonly unsafe struct PackedMatrix(float* data, long depth, long columns, int matrices = 1)
{
    /// <summary>Columns that one work item computes.</summary>
    public const int StripColumns = 64;

    /// <summary>Columns side by side in memory.</summary>
    public const int PanelColumns = 16;

    public const int PanelsPerStrip = StripColumns / PanelColumns;

    public readonly float* Data = data;
    public readonly long Depth = depth;

    /// <summary>Columns of the product; a pair of matrices (gate and up) counts once.</summary>
    public readonly long Columns = columns;

    /// <summary>1, or 2 for a pair: strips of the first and the second matrix alternate.</summary>
    public readonly int Matrices = matrices;

    public long Strips => StripsOf(Columns) * Matrices;

    public static long StripsOf(long columns) => (columns + StripColumns - 1) / StripColumns;

    /// <summary>Floats that a matrix takes, padding included.</summary>
    public static long FloatsOf(long depth, long columns, int matrices = 1) => StripsOf(columns) * StripColumns * depth * matrices;

    public float* Strip(long strip) => Data + (strip * StripColumns * Depth);

    /// <summary>A strip from a k on.</summary>
    public RightBlock Block(long strip, long k) => new(Strip(strip) + (k * PanelColumns), (nint)Depth * PanelColumns, PanelColumns);
}

/// <summary>Columns of B as the product reads them: element (k, c) lies in panel c / 16, at Data[panel·PanelStep + k·KStep + c % 16].</summary>
/// <param name="data">The first element.</param>
/// <param name="panelStep">Floats from one panel to the next; 16 where B is not packed.</param>
/// <param name="kStep">Floats from one k to the next.</param>
internal readonly unsafe struct RightBlock(float* data, nint panelStep, nint kStep)
{
    public readonly float* Data = data;
    public readonly nint PanelStep = panelStep;
    public readonly nint KStep = kStep;
}
