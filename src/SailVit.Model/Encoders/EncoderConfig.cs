namespace SailVit.Model.Encoders;

/// <summary>Whose parameter names and block layout an encoder has.</summary>
public enum EncoderFamily
{
    /// <summary>AIMv2 and SAILViT: patch norm, no class token, norm after the last block.</summary>
    Aimv2,

    /// <summary>InternViT: class token, LayerScale, no norm after the last block.</summary>
    InternVit,
}

/// <summary>The norm before attention and MLP.</summary>
public enum NormKind
{
    /// <summary>x / rms(x) · weight.</summary>
    RmsNorm,

    /// <summary>(x − mean) / std · weight + bias.</summary>
    LayerNorm,
}

/// <summary>The feed-forward part of a block.</summary>
public enum MlpKind
{
    /// <summary>fc2(silu(fc1 x) · fc3 x).</summary>
    SwiGlu,

    /// <summary>fc2(gelu(fc1 x)), erf form.</summary>
    Gelu,

    /// <summary>fc2(gelu(fc1 x)), tanh form.</summary>
    GeluTanh,
}

/// <summary>How tokens know their place.</summary>
public enum PositionKind
{
    /// <summary>A learned vector per token of the image size that the encoder was made for.</summary>
    Learned,

    /// <summary>Fixed sines and cosines of row and column; no parameter.</summary>
    SinCos,
}

/// <summary>Everything that fixes the architecture of a vision transformer of the AIMv2 or InternViT family.</summary>
/// <remarks>Made by <see cref="EncoderPresets"/>, read from a Hugging Face <c>config.json</c> by
/// <see cref="Checkpoints.ConfigFile"/>, or written by hand.</remarks>
public sealed record EncoderConfig
{
    /// <summary>Names and layout.</summary>
    public required EncoderFamily Family { get; init; }

    /// <summary>Channels per token, C.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Channels inside the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Attention heads per block.</summary>
    public required int Heads { get; init; }

    /// <summary>Channels of the image.</summary>
    public int Channels { get; init; } = 3;

    /// <summary>Image height in pixels that learned positions are made for.</summary>
    public required int ImageHeight { get; init; }

    /// <summary>Image width in pixels that learned positions are made for.</summary>
    public required int ImageWidth { get; init; }

    /// <summary>Edge of a square patch in pixels.</summary>
    public int PatchSize { get; init; } = 14;

    /// <summary>Added inside the square root of every norm.</summary>
    public required double Eps { get; init; }

    /// <summary>The norm of the blocks, of the patches and after the last block.</summary>
    public required NormKind Norm { get; init; }

    /// <summary>The feed-forward part.</summary>
    public required MlpKind Mlp { get; init; }

    /// <summary>Whether the packed query, key and value projection has a bias.</summary>
    public bool QkvBias { get; init; }

    /// <summary>Whether attention's output projection and the MLP have biases.</summary>
    public bool UseBias { get; init; }

    /// <summary>Whether patches are normed before positions are added.</summary>
    public bool PatchNorm { get; init; }

    /// <summary>Whether each branch is scaled per channel before it joins the residual.</summary>
    public bool LayerScale { get; init; }

    /// <summary>Initial value of the scale of a new model.</summary>
    public double LayerScaleInit { get; init; } = 0.1;

    /// <summary>Whether queries and keys pass an RMSNorm over all heads together.</summary>
    public bool QkNorm { get; init; }

    /// <summary>Whether a learned token stands before the patches.</summary>
    public bool ClassToken { get; init; }

    /// <summary>Kind of position embedding.</summary>
    public PositionKind Position { get; init; }

    /// <summary>Whether a norm follows the last block.</summary>
    public bool FinalNorm { get; init; }

    /// <summary>Drop-path rate of the last block in training; grows linearly from 0 in the first.</summary>
    public double DropPath { get; init; }

    /// <summary>Channels per head.</summary>
    public int HeadDim => HiddenSize / Heads;

    /// <summary>Rows of patches.</summary>
    public int GridHeight => ImageHeight / PatchSize;

    /// <summary>Columns of patches.</summary>
    public int GridWidth => ImageWidth / PatchSize;

    /// <summary>Tokens per image, the class token included.</summary>
    public int Tokens => (GridHeight * GridWidth) + (ClassToken ? 1 : 0);

    /// <summary>Hidden states that the encoder can return: one per block, and InternViT's embedding before them.</summary>
    public int HiddenStates => Family == EncoderFamily.InternVit ? Layers + 1 : Layers;

    /// <summary>Number of parameters.</summary>
    public long ParameterCount
    {
        get
        {
            long c = HiddenSize, f = IntermediateSize;
            long norm = Norm == NormKind.LayerNorm ? 2 * c : c;
            long patch = (c * Channels * PatchSize * PatchSize) + c + (PatchNorm ? norm : 0);
            long position = (Position == PositionKind.Learned ? Tokens * c : 0) + (ClassToken ? c : 0);
            long attention = (4 * c * c) + (QkvBias ? 3 * c : 0) + (UseBias ? c : 0) + (QkNorm ? 2 * c : 0);
            long inner = Mlp == MlpKind.SwiGlu ? 2 : 1;
            long mlp = ((inner + 1) * c * f) + (UseBias ? (inner * f) + c : 0);
            long block = attention + mlp + (2 * norm) + (LayerScale ? 2 * c : 0);
            return patch + position + (Layers * block) + (FinalNorm ? norm : 0);
        }
    }

    /// <summary>Floating-point operations of one forward pass over one image: two per multiply-add of every matrix product.</summary>
    public long FlopsPerImage
    {
        get
        {
            long c = HiddenSize, f = IntermediateSize, n = Tokens, patches = (long)GridHeight * GridWidth;
            long linear = 2 * n * ((4 * c * c) + ((Mlp == MlpKind.SwiGlu ? 3 : 2) * c * f));
            long attention = 4 * n * n * c;
            long patch = 2 * patches * c * Channels * PatchSize * PatchSize;
            return patch + (Layers * (linear + attention));
        }
    }

    /// <summary>Throws when no encoder can have these values.</summary>
    /// <exception cref="ArgumentException">A value is out of range or two do not fit; the message names them.</exception>
    public void Validate()
    {
        Positive(HiddenSize, "hidden_size");
        Positive(IntermediateSize, "intermediate_size");
        Positive(Layers, "num_hidden_layers");
        Positive(Heads, "num_attention_heads");
        Positive(Channels, "num_channels");
        Positive(PatchSize, "patch_size");
        Positive(ImageHeight, "image_size");
        Positive(ImageWidth, "image_size");
        Require(HiddenSize % Heads == 0, $"hidden_size {HiddenSize} must be a multiple of num_attention_heads {Heads}.");
        Require(ImageHeight % PatchSize == 0 && ImageWidth % PatchSize == 0,
            $"image_size {ImageHeight} × {ImageWidth} must be a multiple of patch_size {PatchSize} in both directions.");
        Require(Eps > 0 && double.IsFinite(Eps), $"the norm's eps is {Eps}; it must be a positive number.");
        Require(DropPath is >= 0 and < 1, $"drop_path_rate is {DropPath}; it must be at least 0 and less than 1.");
        Require(Position != PositionKind.SinCos || HiddenSize % 4 == 0, $"sin-cos positions need a hidden_size that is a multiple of 4; it is {HiddenSize}.");
        // Far above any published model; keeps every size product inside 64 bits.
        Require(Math.Max(HiddenSize, IntermediateSize) <= 1 << 17 && Layers <= 4096 && Math.Max(ImageHeight, ImageWidth) <= 1 << 16 && Channels <= 4096 && PatchSize <= 4096,
            "a size is beyond what an encoder can have (hidden sizes up to 131,072, 4,096 layers, 65,536 px).");
    }

    private static void Positive(int value, string name) => Require(value > 0, $"{name} is {value}; it must be at least 1.");

    private static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new ArgumentException(message);
        }
    }
}
