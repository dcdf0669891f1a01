using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Tensors;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Names of a block's two norms in the state_dict: AIMv2 says norm_1, timm and InternViT say norm1.</summary>
public readonly record struct BlockNames(string FirstNorm, string SecondNorm)
{
    /// <summary>norm_1, norm_2 (AIMv2, SAILViT).</summary>
    public static BlockNames Aimv2 { get; } = new("norm_1", "norm_2");

    /// <summary>norm1, norm2 (InternViT, timm, DINOv2).</summary>
    public static BlockNames Timm { get; } = new("norm1", "norm2");
}

/// <summary>A pre-norm transformer block: x + ls1·attn(norm1(x)), then x + ls2·mlp(norm2(x)).</summary>
/// <remarks>State_dict: the norms as <see cref="BlockNames"/> says, attn, mlp, and ls1, ls2 where there is a LayerScale.
/// Without LayerScale and drop path the residual is added in the epilogue of each branch's last matrix product.
/// Sources: Dosovitskiy et al. 2021; LayerScale: Touvron et al. 2021; drop path: Huang et al. 2016.</remarks>
public sealed class Block : Module<Tensor, Tensor>
{
    private readonly Module<Tensor, Tensor> _norm1;
    private readonly Module<Tensor, Tensor> _norm2;
    private readonly IResidualBranch _attn;
    private readonly IResidualBranch _mlp;
    private readonly double _dropPath;

    [ComponentName(Name = "ls1")]
    private readonly Parameter? _ls1;

    [ComponentName(Name = "ls2")]
    private readonly Parameter? _ls2;

    /// <summary>Assembles a block from its parts, which it owns from now on.</summary>
    /// <param name="norm1">Norm before attention.</param>
    /// <param name="attention">Attention over [B, N, C].</param>
    /// <param name="norm2">Norm before the MLP.</param>
    /// <param name="mlp">MLP over [B, N, C].</param>
    /// <param name="width">C.</param>
    /// <param name="names">Names of the norms in the state_dict.</param>
    /// <param name="layerScale">Initial LayerScale of both branches; null for none.</param>
    /// <param name="dropPath">Probability with which a sample skips a branch in training, in [0, 1).</param>
    public Block(Module<Tensor, Tensor> norm1, Module<Tensor, Tensor> attention, Module<Tensor, Tensor> norm2, Module<Tensor, Tensor> mlp,
        long width, BlockNames names, double? layerScale = null, double dropPath = 0) : base(nameof(Block))
    {
        ArgumentNullException.ThrowIfNull(norm1);
        ArgumentNullException.ThrowIfNull(norm2);
        if (dropPath is not (>= 0 and < 1))
        {
            Check.Throw(nameof(dropPath), $"is {dropPath}; it must be at least 0 and below 1.");
        }
        _norm1 = norm1;
        _norm2 = norm2;
        _attn = attention as IResidualBranch ?? throw new ArgumentException($"attention must implement {nameof(IResidualBranch)}.", nameof(attention));
        _mlp = mlp as IResidualBranch ?? throw new ArgumentException($"mlp must implement {nameof(IResidualBranch)}.", nameof(mlp));
        _dropPath = dropPath;
        register_module(names.FirstNorm, norm1);
        register_module("attn", attention);
        register_module(names.SecondNorm, norm2);
        register_module("mlp", mlp);
        if (layerScale is { } initial)
        {
            using Scalar value = initial;
            _ls1 = Parameter(full(width, value));
            _ls2 = Parameter(full(width, value));
            register_parameter("ls1", _ls1);
            register_parameter("ls2", _ls2);
        }
    }

    /// <summary>Runs the block.</summary>
    /// <param name="x">[B, N, C].</param>
    /// <returns>[B, N, C].</returns>
    public override Tensor forward(Tensor x) => forward(x, null);

    /// <summary>Runs the block; attention stays within the sequences of a pack where there is one.</summary>
    /// <param name="x">[B, N, C]; [1, T, C] with a pack.</param>
    /// <param name="pack">Sequences laid behind each other; null: each sample is one. Drop path then drops all or none.</param>
    /// <exception cref="NotSupportedException">The block's attention is not <see cref="Attention"/>.</exception>
    public Tensor forward(Tensor x, TokenPack? pack)
    {
        using var scope = NewDisposeScope();
        long start = DeviceScope.Mark;
        var attention = pack is null ? _attn
            : _attn is Attention packed ? new PackedBranch(packed, pack)
            : throw new NotSupportedException($"{_attn.GetType().Name} cannot attend within a pack of sequences; use {nameof(Attention)}.");
        var afterAttention = Add(x, _norm1, attention, _ls1);
        var result = Add(afterAttention, _norm2, _mlp, _ls2).MoveToOuterDisposeScope();
        if (!is_grad_enabled())
        {
            // What was computed on the way need not stay on a device.
            DeviceScope.Trim(start, result);
        }
        return result;
    }

    private Tensor Add(Tensor x, Module<Tensor, Tensor> norm, IResidualBranch branch, Parameter? scale) =>
        scale is null && !(training && _dropPath > 0)
            ? branch.forward(norm.call(x), x)
            : functional.layer_scale_add(x, branch.forward(norm.call(x), null), scale, _dropPath, training);

    private sealed class PackedBranch(Attention attention, TokenPack pack) : IResidualBranch
    {
        public Tensor forward(Tensor x, Tensor? residual) => attention.forward(x, residual, pack);
    }

    // Registered by name in the constructor: reflection over the fields would register them a second time.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }
}
