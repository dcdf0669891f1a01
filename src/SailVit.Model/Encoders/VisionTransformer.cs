using SailVit.Kernels.Interop;
using SailVit.Kernels.Modules;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Encoders;

/// <summary>Parts of an encoder that can be frozen and unfrozen.</summary>
[Flags]
public enum EncoderPart
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Patch projection and its norm, class token.</summary>
    Patches = 1,

    /// <summary>Learned positions.</summary>
    Positions = 2,

    /// <summary>All blocks.</summary>
    Blocks = 4,

    /// <summary>Norm after the last block.</summary>
    FinalNorm = 8,

    /// <summary>The whole encoder.</summary>
    All = Patches | Positions | Blocks | FinalNorm,
}

/// <summary>The vision transformers of the AIMv2 family (SAILViT among them) and of InternViT, on fused kernels.</summary>
/// <remarks>
/// State_dict keys are those of the published models: <c>preprocessor.…</c>, <c>trunk.blocks.i.…</c>,
/// <c>trunk.post_trunk_norm</c> for AIMv2; <c>embeddings.…</c>, <c>encoder.layers.i.…</c> for InternViT.
/// Sources: AIMv2, arXiv 2411.14402; SAILViT, arXiv 2507.01643; InternViT, arXiv 2312.14238.
/// </remarks>
public sealed partial class VisionTransformer : Module<Tensor, Tensor>
{
    private readonly Module<Tensor, Tensor> _embeddings;
    private readonly Block[] _blocks;
    private readonly Module<Tensor, Tensor>? _finalNorm;

    /// <summary>Makes an encoder with random weights, drawn from torch's generator.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="initialize">False: most parameters hold what the memory held, for a checkpoint that fills them all.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public VisionTransformer(EncoderConfig config, bool initialize = true) : base(nameof(VisionTransformer))
    {
        ArgumentNullException.ThrowIfNull(config);
        config.Validate();
        Config = config;
        _blocks = [.. Enumerable.Range(0, config.Layers).Select(i => Parts.Block(config, i, initialize))];
        _finalNorm = config.FinalNorm ? Parts.Norm(config) : null;
        var blocks = ModuleList(_blocks);
        if (config.Family == EncoderFamily.Aimv2)
        {
            _embeddings = new Aimv2Preprocessor(config);
            register_module("preprocessor", _embeddings);
            register_module("trunk", new Container(("blocks", blocks), ("post_trunk_norm", _finalNorm)));
        }
        else
        {
            _embeddings = new InternVitEmbeddings(config);
            register_module("embeddings", _embeddings);
            register_module("encoder", new Container(("layers", blocks), ("norm", _finalNorm)));
        }
    }

    /// <summary>The architecture.</summary>
    public EncoderConfig Config { get; }

    /// <summary>Keeps one activation per block in training and computes the rest again in backward.</summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>Called in a backward pass with the index of each block when it has come by: the block's parameters and those used after it
    /// have their gradients.</summary>
    public Action<int>? BlockPassed { get; set; }

    /// <summary>How many hidden states <see cref="Encode"/> can return.</summary>
    public int HiddenStates => Config.HiddenStates;

    /// <summary>Encodes images.</summary>
    /// <param name="pixels">[B, 3, H, W], normalised floats of the model's dtype, or uint8 pixels, normalised on the way
    /// with ImageNet's mean and standard deviation. H and W are multiples of the patch size; where they differ from the
    /// configuration's, learned positions are resized bicubically.</param>
    /// <returns>The last hidden state, [B, N, C], after the final norm where the model has one.</returns>
    public override Tensor forward(Tensor pixels) => Encode(pixels).Last;

    /// <summary>Encodes images and keeps some hidden states.</summary>
    /// <param name="pixels">As in <see cref="forward"/>.</param>
    /// <param name="hidden">Indices of hidden states. AIMv2: i is the output of block i. InternViT: 0 is the embedding, i
    /// the output of block i − 1. The final norm is never included. Negative counts from the end.</param>
    public EncoderOutput Encode(Tensor pixels, IEnumerable<int>? hidden = null)
    {
        using var scope = NewDisposeScope();
        var output = RunBlocks(_embeddings.call(pixels), hidden, null);
        return new(output.Last.MoveToOuterDisposeScope(), output.Hidden.ToDictionary(h => h.Key, h => h.Value.MoveToOuterDisposeScope()));
    }

    private EncoderOutput RunBlocks(Tensor x, IEnumerable<int>? hidden, TokenPack? pack)
    {
        var wanted = (hidden ?? []).ToDictionary(i => i, Resolve);
        using var scope = NewDisposeScope();
        var states = new Dictionary<int, Tensor>();
        int index = 0;
        if (Config.Family == EncoderFamily.InternVit)
        {
            Keep(states, wanted, index++, x);
        }
        for (int i = 0; i < _blocks.Length; i++)
        {
            var y = Run(i, x, pack);
            if (!states.ContainsValue(x))
            {
                x.Dispose();
            }
            x = y;
            Keep(states, wanted, index++, x);
        }
        var last = _finalNorm is null ? x.alias() : _finalNorm.call(x);
        var byRequest = wanted.ToDictionary(w => w.Key, w => states[w.Value].alias().MoveToOuterDisposeScope());
        return new(last.MoveToOuterDisposeScope(), byRequest);
    }

    /// <summary>Encodes images up to one hidden state; the blocks behind it are not run.</summary>
    /// <param name="pixels">As in <see cref="forward"/>.</param>
    /// <param name="index">As in <see cref="Encode"/>.</param>
    /// <returns>[B, N, C].</returns>
    public Tensor EncodeUpTo(Tensor pixels, int index)
    {
        int blocks = BlocksFor(index);
        using var scope = NewDisposeScope();
        return RunFirst(blocks, _embeddings.call(pixels), null).MoveToOuterDisposeScope();
    }

    private int BlocksFor(int index) => Resolve(index) + 1 - (HiddenStates - Config.Layers);

    private Tensor RunFirst(int blocks, Tensor x, TokenPack? pack)
    {
        for (int i = 0; i < blocks; i++)
        {
            var y = Run(i, x, pack);
            x.Dispose();
            x = y;
        }
        return x;
    }

    /// <summary>Stops gradients of parts, and of single blocks.</summary>
    /// <param name="parts">Parts to freeze.</param>
    /// <param name="blocks">Blocks to freeze besides, by index.</param>
    public void Freeze(EncoderPart parts, Range? blocks = null) => SetTrainable(parts, blocks, trainable: false);

    /// <summary>Lets gradients flow into parts, and into single blocks.</summary>
    /// <param name="parts">Parts to unfreeze.</param>
    /// <param name="blocks">Blocks to unfreeze besides, by index.</param>
    public void Unfreeze(EncoderPart parts, Range? blocks = null) => SetTrainable(parts, blocks, trainable: true);

    private Tensor Run(int index, Tensor x, TokenPack? pack)
    {
        var block = _blocks[index];
        var marked = BackwardMark.Place(x, BlockPassed, index);
        return GradientCheckpointing && training ? F.checkpoint(h => block.forward(h, pack), marked) : block.forward(marked, pack);
    }

    private void SetTrainable(EncoderPart parts, Range? blocks, bool trainable)
    {
        bool positions = parts.HasFlag(EncoderPart.Positions), patches = parts.HasFlag(EncoderPart.Patches);
        foreach (var (name, parameter) in _embeddings.named_parameters())
        {
            if (name is "pos_embed" or "position_embedding" ? positions : patches)
            {
                parameter.requires_grad_(trainable);
            }
        }
        var chosen = parts.HasFlag(EncoderPart.Blocks) ? _blocks : blocks is { } range ? _blocks[range] : [];
        IEnumerable<Module> modules = parts.HasFlag(EncoderPart.FinalNorm) && _finalNorm is not null ? [.. chosen, _finalNorm] : chosen;
        foreach (var parameter in modules.SelectMany(m => m.parameters()))
        {
            parameter.requires_grad_(trainable);
        }
    }

    private int Resolve(int index)
    {
        int resolved = index < 0 ? HiddenStates + index : index;
        return resolved >= 0 && resolved < HiddenStates
            ? resolved
            : throw new ArgumentException($"hidden asks for state {index}; this encoder has {HiddenStates}: 0 … {HiddenStates - 1}, or negative from the end.", nameof(index));
    }

    private static void Keep(Dictionary<int, Tensor> states, Dictionary<int, int> wanted, int index, Tensor x)
    {
        if (wanted.ContainsValue(index))
        {
            states[index] = x;
        }
    }

    // Registered by name in the constructor.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }
}
