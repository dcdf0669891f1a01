using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>Something that gives rows of normalised pixels: an image file, or a tensor file with many.</summary>
internal abstract class PixelInput(string path) : IDisposable
{
    public const string PixelKey = "input.pixel_values";

    public string Path { get; } = path;

    public abstract int Rows { get; }

    public abstract int Height { get; }

    public abstract int Width { get; }

    /// <summary>What a row is called in the output.</summary>
    public abstract string RowName(int row);

    /// <summary>One row, [1, C, H, W], float32.</summary>
    public abstract Tensor Read(int row);

    public virtual void Dispose() { }

    /// <summary>Opens files and the images of folders, in the order given.</summary>
    /// <exception cref="ArgumentException">A path is missing, or a folder holds no image.</exception>
    public static List<PixelInput> Open(IEnumerable<string> paths, EncoderConfig config)
    {
        var inputs = new List<PixelInput>();
        try
        {
            inputs.AddRange(paths.SelectMany(Expand).Select(path => Open(path, config)));
            return inputs;
        }
        catch
        {
            inputs.ForEach(input => input.Dispose());
            throw;
        }
    }

    /// <summary>Image files and the images of folders.</summary>
    /// <exception cref="ArgumentException">A path is missing, or a folder holds no image.</exception>
    public static List<string> Images(IEnumerable<string> paths) => [.. paths.SelectMany(Expand)];

    private static PixelInput Open(string path, EncoderConfig config) => path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)
        ? new TensorInput(path, config)
        : new ImageInput(path, config);

    private static IEnumerable<string> Expand(string path)
    {
        if (File.Exists(path))
        {
            return [path];
        }
        if (!Directory.Exists(path))
        {
            throw new ArgumentException($"{path}: there is no such file or folder.");
        }
        var files = Directory.EnumerateFiles(path).Where(file => ImageDecoder.IsImage(file)).Order(StringComparer.Ordinal).ToList();
        return files.Count > 0 ? files : throw new ArgumentException($"{path}: the folder holds no image ({string.Join(", ", ImageDecoder.Extensions)}).");
    }
}

/// <summary>One image, decoded and resized when it is its turn.</summary>
internal sealed class ImageInput : PixelInput
{
    private readonly ImageTransform _transform;

    public ImageInput(string path, EncoderConfig config) : base(path)
    {
        if (config.Channels != 3)
        {
            throw new ArgumentException($"{path}: this encoder takes {config.Channels} channels, an image has 3; give a .safetensors file with {PixelKey}.");
        }
        _transform = new ImageTransform(config.ImageHeight, config.ImageWidth);
    }

    public override int Rows => 1;

    public override int Height => _transform.Height;

    public override int Width => _transform.Width;

    public override string RowName(int row) => Path;

    public override Tensor Read(int row) => _transform.ToFloats(ImageDecoder.Decode(Path));
}

/// <summary>The rows of <c>input.pixel_values</c> in a tensor file.</summary>
internal sealed class TensorInput : PixelInput
{
    private readonly Tensor _pixels;

    public TensorInput(string path, EncoderConfig config) : base(path)
    {
        using var scope = NewDisposeScope();
        using var file = SafetensorsFile.Open(path);
        var pixels = file.Read(PixelKey);
        long[] shape = pixels.shape;
        if (!pixels.is_floating_point() || shape.Length != 4 || shape[0] < 1 || shape[1] != config.Channels
            || shape[2] < config.PatchSize || shape[3] < config.PatchSize || shape[2] % config.PatchSize != 0 || shape[3] % config.PatchSize != 0 || shape.Max() > 1 << 20)
        {
            throw new ArgumentException($"{path}: {PixelKey} is {pixels.dtype} [{string.Join(", ", shape)}]; it must be floating point [images, {config.Channels}, height, width], sides multiples of the patch size {config.PatchSize}.");
        }
        if (!pixels.isfinite().all().item<bool>())
        {
            throw new ArgumentException($"{path}: {PixelKey} holds NaN or infinite values; features of them would be meaningless.");
        }
        _pixels = pixels.to(ScalarType.Float32).MoveToOuterDisposeScope();
    }

    public override int Rows => (int)_pixels.shape[0];

    public override int Height => (int)_pixels.shape[2];

    public override int Width => (int)_pixels.shape[3];

    public override string RowName(int row) => $"{Path}[{row}]";

    public override Tensor Read(int row) => _pixels.narrow(0, row, 1);

    /// <summary>All rows, [B, C, H, W].</summary>
    public Tensor Pixels => _pixels;

    public override void Dispose()
    {
        _pixels.Dispose();
        base.Dispose();
    }
}
