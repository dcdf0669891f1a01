using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>What one call is asked for.</summary>
/// <param name="Norm">Norm after the projection.</param>
/// <param name="Eps">Of the norm.</param>
/// <param name="Scale">Per channel: the projection sees scale · pixel + shift.</param>
/// <param name="ScaleRest">Per channel: what float32 cannot hold of the scale. The
/// rounded 1/255 would bias all bytes alike.</param>
/// <param name="Shift">Per channel.</param>
/// <param name="ShiftRest">Per channel: what float32 cannot hold of the shift.</param>
/// <param name="Path">Who makes the products of tokens and of the weight's gradient; the pixels' gradient is always an own one.</param>
internal sealed record PatchEmbedOptions(PatchNorm Norm, double Eps, float[] Scale, float[] ScaleRest, float[] Shift, float[] ShiftRest, LinearPath Path);

/// <summary>Argument checks, before anything is allocated.</summary>
internal static class PatchEmbedCheck
{
    public static PatchEmbedOptions Arguments(
        Tensor pixels, Tensor weight, Tensor? bias, Tensor? normWeight, Tensor? normBias,
        PatchNorm norm, double eps, Tensor? position, Tensor? clsToken, float[]? mean, float[]? std)
    {
        var x = Check.View(pixels);
        var w = Check.Float(weight);
        Pixels(x, w);
        long[] row = [w.Size(0)];
        Parameter(bias, w, row, nameof(bias));
        Parameter(normWeight, w, row, "norm_weight");
        Parameter(normBias, w, row, "norm_bias");
        Norm(norm, eps, normWeight, normBias);
        Position(position, w, (x.Size(2) / w.Size(2) * (x.Size(3) / w.Size(3))) + (clsToken is null ? 0 : 1), clsToken is not null);
        ClassToken(clsToken, w);
        var (scale, scaleRest, shift, shiftRest) = Normalisation(x, mean, std);
        long patches = x.Size(0) * (x.Size(2) / w.Size(2)) * (x.Size(3) / w.Size(3));
        return new(norm, eps, scale, scaleRest, shift, shiftRest, LinearDispatch.For(w.DType, patches, packed: false));
    }

    private static void Pixels(in TensorView x, in TensorView w)
    {
        if (x.DType is not (DType.UInt8 or DType.Float32 or DType.BFloat16 or DType.Float16))
        {
            Check.Throw("pixels", $"has dtype {x.DType}; it must be UInt8, Float32, BFloat16 or Float16. Convert it with .to(dtype).");
        }
        Check.Rank(x, 4, "pixels", "[B, channels, H, W]");
        Check.Rank(w, 4, "weight", "[C, channels, P, P]");
        if (w.Length == 0)
        {
            Check.Throw("weight", $"has shape {Check.Show(w.Sizes)}; every dimension must be at least 1.");
        }
        if (x.Size(1) != w.Size(1))
        {
            Check.Throw("pixels", $"has {x.Size(1)} channels, shape {Check.Show(x.Sizes)}; the weight, shape {Check.Show(w.Sizes)}, is for {w.Size(1)}.");
        }
        if (x.Size(2) == 0 || x.Size(3) == 0 || x.Size(2) % w.Size(2) != 0 || x.Size(3) % w.Size(3) != 0)
        {
            Check.Throw("pixels", $"is {x.Size(2)} × {x.Size(3)} px; both sides must be positive multiples of the patch, {w.Size(2)} × {w.Size(3)} px. Resize or pad the images.");
        }
    }

    private static void Parameter(Tensor? parameter, in TensorView w, long[] shape, string name)
    {
        if (parameter is not null)
        {
            Check.Parameter(parameter, w, shape, name);
        }
    }

    private static void Norm(PatchNorm norm, double eps, Tensor? weight, Tensor? bias)
    {
        if (!Enum.IsDefined(norm))
        {
            Check.Throw(nameof(norm), $"is {(int)norm}; it must be None, RmsNorm or LayerNorm.");
        }
        if (norm == PatchNorm.None && weight is not null)
        {
            Check.Throw("norm_weight", "is given, but norm is None; choose RmsNorm or LayerNorm, or leave it out.");
        }
        if (norm != PatchNorm.LayerNorm && bias is not null)
        {
            Check.Throw("norm_bias", $"is given, but norm is {norm}; only LayerNorm has a bias.");
        }
        if (!(eps >= 0) || double.IsInfinity(eps))
        {
            Check.Throw(nameof(eps), $"is {eps}; it must be a finite number that is not negative, such as 1e-5.");
        }
    }

    private static void Position(Tensor? position, in TensorView w, long tokens, bool classToken)
    {
        if (position is null)
        {
            return;
        }
        var view = Check.Float(position);
        if (view.Rank is not (2 or 3) || view.Length != tokens * w.Size(0) || view.Size(-1) != w.Size(0) || view.Size(-2) != tokens)
        {
            Check.Throw(nameof(position), $"has shape {Check.Show(view.Sizes)}; it must be [{tokens}, {w.Size(0)}] or [1, {tokens}, {w.Size(0)}]{(classToken ? ", the class token's row first" : "")}.");
        }
        Check.SameDType(view, w, nameof(position), "weight");
    }

    private static void ClassToken(Tensor? token, in TensorView w)
    {
        if (token is null)
        {
            return;
        }
        var view = Check.Float(token, "cls_token");
        if (view.Length != w.Size(0) || view.Rank == 0 || view.Size(-1) != w.Size(0))
        {
            Check.Throw("cls_token", $"has shape {Check.Show(view.Sizes)}; it must hold one token, [{w.Size(0)}] or [1, 1, {w.Size(0)}].");
        }
        Check.SameDType(view, w, "cls_token", "weight");
    }

    private static (float[] Scale, float[] ScaleRest, float[] Shift, float[] ShiftRest) Normalisation(in TensorView x, float[]? mean, float[]? std)
    {
        int channels = checked((int)x.Size(1));
        double unit = x.DType == DType.UInt8 ? 1 / 255.0 : 1;
        var (scale, scaleRest) = (new float[channels], new float[channels]);
        var (shift, shiftRest) = (new float[channels], new float[channels]);
        Channels(mean, channels, nameof(mean));
        Channels(std, channels, nameof(std));
        for (int c = 0; c < channels; c++)
        {
            double deviation = std is null ? 1 : std[c];
            if (!(deviation > 0) || double.IsInfinity(deviation))
            {
                Check.Throw(nameof(std), $"is {deviation} for channel {c}; it must be positive.");
            }
            double added = -(mean is null ? 0.0 : mean[c]) / deviation;
            scale[c] = (float)(unit / deviation);
            scaleRest[c] = (float)((unit / deviation) - scale[c]);
            shift[c] = (float)added;
            shiftRest[c] = (float)(added - shift[c]);
        }
        return (scale, scaleRest, shift, shiftRest);
    }

    private static void Channels(float[]? values, int channels, string name)
    {
        if (values is not null && values.Length != channels)
        {
            Check.Throw(name, $"has {values.Length} values; it must have one for each of the {channels} channels.");
        }
    }
}
