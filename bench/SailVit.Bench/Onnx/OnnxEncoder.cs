using SailVit.Bench.Models;
using SailVit.Bench.Stock;
using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Onnx;

/// <summary>A SAILViT or AIMv2 encoder as an ONNX graph, with the fused ops that ONNX Runtime has on a CPU.</summary>
internal sealed class OnnxEncoder
{
    private readonly OnnxGraph _graph = new();
    private readonly IReadOnlyDictionary<string, Tensor> _weights;
    private readonly EncoderConfig _config;

    private OnnxEncoder(EncoderConfig config, IReadOnlyDictionary<string, Tensor> weights) => (_config, _weights) = (config, weights);

    /// <summary>Whether the graph below is this architecture.</summary>
    public static bool Supports(EncoderConfig config) => config is
    {
        Family: EncoderFamily.Aimv2, Norm: NormKind.RmsNorm, Mlp: MlpKind.SwiGlu, Position: PositionKind.Learned,
        PatchNorm: true, FinalNorm: true, QkvBias: false, UseBias: false, QkNorm: false, LayerScale: false, ClassToken: false,
    };

    /// <summary>The forward pass over one image; none where ONNX Runtime is missing, or for another family.</summary>
    public static IEnumerable<BenchCase> Cases(string name, EncoderConfig config, ScalarType dtype)
    {
        if (OnnxSession.Version is not null && dtype == ScalarType.Float32 && Supports(config))
        {
            yield return OnnxBench.Case(name, $"1x{config.Channels}x{config.ImageHeight}x{config.ImageWidth}", "MultiHeadAttention, SimplifiedLayerNormalization",
                new Work(config.FlopsPerImage, 4.0 * config.ParameterCount), () => Pair(config));
        }
    }

    /// <summary>The graph of an encoder with weights under its own names.</summary>
    public static OnnxGraph Build(EncoderConfig config, IReadOnlyDictionary<string, Tensor> weights) => new OnnxEncoder(config, weights).Build();

    private static OnnxPair Pair(EncoderConfig config)
    {
        manual_seed(1);
        var ours = ModelPair.CreateOurs(config, ScalarType.Float32);
        var (pixels, unused) = ModelPair.Data(config, ScalarType.Float32);
        unused.Dispose();
        var state = ours.Model.state_dict();
        var reference = Reference(config, state, pixels);
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var session = new OnnxSession(Build(config, state), pixels);
        return new OnnxPair(() => ours.Forward(pixels)[0], session, () => reference, ours, pixels, reference);
    }

    // Before the session exists: the largest thing in this process.
    private static Tensor Reference(EncoderConfig config, Dictionary<string, Tensor> state, Tensor pixels)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        using var exact = new StockVisionTransformer(config).to(ScalarType.Float64);
        exact.load_state_dict(state);
        exact.eval();
        return exact.call(pixels.to(float64)).DetachFromDisposeScope();
    }

    private OnnxGraph Build()
    {
        long patches = (long)_config.GridHeight * _config.GridWidth, c = _config.HiddenSize, p = _config.PatchSize;
        string pixels = _graph.Input(1, _config.Channels, _config.ImageHeight, _config.ImageWidth);
        string grid = _graph.Node("Conv", [pixels, Weight("preprocessor.patchifier.proj.weight"), Weight("preprocessor.patchifier.proj.bias")], ("kernel_shape", (long[])[p, p]), ("strides", (long[])[p, p]));
        string tokens = _graph.Node("Transpose", [_graph.Node("Reshape", [grid, _graph.Constant(1, c, patches)])], ("perm", (long[])[0, 2, 1]));
        string x = _graph.Node("Add", [Norm(tokens, "preprocessor.patchifier.norm"), Weight("preprocessor.pos_embed")]);
        for (int i = 0; i < _config.Layers; i++)
        {
            string block = $"trunk.blocks.{i}";
            x = _graph.Node("Add", [x, Attention(Norm(x, $"{block}.norm_1"), $"{block}.attn")]);
            x = _graph.Node("Add", [x, SwiGlu(Norm(x, $"{block}.norm_2"), $"{block}.mlp")]);
        }
        return _graph.Returns(Norm(x, "trunk.post_trunk_norm"), 1, patches, c);
    }

    private string Attention(string x, string name)
    {
        // Three products: a split of one would copy.
        var parts = _weights[$"{name}.qkv.weight"].chunk(3, 0);
        string y = _graph.Node($"{OnnxGraph.Microsoft}:MultiHeadAttention", [.. parts.Select(part => Product(x, part))], ("num_heads", (long)_config.Heads));
        return Product(y, _weights[$"{name}.proj.weight"]);
    }

    private string SwiGlu(string x, string name)
    {
        string gate = Product(x, _weights[$"{name}.fc1.weight"]), up = Product(x, _weights[$"{name}.fc3.weight"]);
        string silu = _graph.Node("Mul", [gate, _graph.Node("Sigmoid", [gate])]);
        return Product(_graph.Node("Mul", [silu, up]), _weights[$"{name}.fc2.weight"]);
    }

    private string Norm(string x, string name) =>
        _graph.Node("SimplifiedLayerNormalization", [x, Weight($"{name}.weight")], ("axis", -1L), ("epsilon", (float)_config.Eps), ("stash_type", 1L));

    // [N, K] as the model keeps it → [K, N], which MatMul packs once.
    private string Product(string x, Tensor weight) => _graph.Node("MatMul", [x, _graph.Weight(weight.detach().t())]);

    private string Weight(string name) => _graph.Weight(_weights[name].detach());
}
