using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Onnx;

/// <summary>The ops that a .NET user would else run in ONNX Runtime, in inference; none where its native library is missing.</summary>
internal sealed class OnnxBench : IOpBench
{
    private const double Eps = 1e-6;

    public IEnumerable<BenchCase> Cases() => OnnxSession.Version is null ? [] :
    [
        Linear(1024, 1024, 3072),
        Linear(1024, 2816, 1024),
        Attention(8, 128, 1024),
        Attention(16, 64, 1024),
        FusedAttention(8, 128, 1024),
        FusedAttention(16, 64, 1024),
        LayerNorm(1024, 1024),
    ];

    internal static BenchCase Linear(int m, int k, int n) => Case("linear", $"{m}x{k}->{n}", "Gemm", Work.MatrixProduct(ScalarType.Float32, m, n, k), () =>
    {
        Tensor[] t = [Inputs.Normal(ScalarType.Float32, m, k), Inputs.Weight(ScalarType.Float32, n, k)];
        var packed = new PackedWeight(t[1]);
        var graph = new OnnxGraph();
        graph.Returns(graph.Node("Gemm", [graph.Input(m, k), graph.Weight(t[1])], ("transB", 1L)), m, n);
        return Pair(t, [t[0]], graph, () => functional.linear(t[0], packed), x => nn.functional.linear(x[0], x[1]));
    });

    internal static BenchCase LayerNorm(int rows, int width) => Case("layer_norm", $"{rows}x{width}", "LayerNormalization", Work.Elements(ScalarType.Float32, 1, 1, rows, width), () =>
    {
        Tensor[] t = [Inputs.Normal(ScalarType.Float32, rows, width), Inputs.Gain(ScalarType.Float32, width), Inputs.Normal(ScalarType.Float32, width)];
        var graph = new OnnxGraph();
        graph.Returns(graph.Node("LayerNormalization", [graph.Input(rows, width), graph.Weight(t[1]), graph.Weight(t[2])], ("epsilon", (float)Eps)), rows, width);
        return Pair(t, [t[0]], graph, () => functional.layer_norm(t[0], [width], t[1], t[2], Eps), x => nn.functional.layer_norm(x[0], [width], x[1], x[2], Eps));
    });

    /// <summary>As an exporter writes it; ONNX Runtime fuses transpose and scale into its products.</summary>
    internal static BenchCase Attention(int heads, int dim, int tokens) => Case("scaled_dot_product_attention", $"{heads}x{dim} N{tokens}", "MatMul, Softmax, MatMul", AttentionWork(heads, dim, tokens), () =>
    {
        long[] shape = [1, heads, tokens, dim];
        var t = Normal(3, shape);
        var graph = new OnnxGraph();
        string q = graph.Input(shape), k = graph.Input(shape), v = graph.Input(shape);
        string scores = graph.Node("MatMul", [q, graph.Node("Transpose", [k], ("perm", (long[])[0, 1, 3, 2]))]);
        string scaled = graph.Node("Mul", [scores, graph.Constant(1 / MathF.Sqrt(dim))]);
        graph.Returns(graph.Node("MatMul", [graph.Node("Softmax", [scaled], ("axis", -1L)), v]), shape);
        return Pair(t, t, graph, () => functional.scaled_dot_product_attention(t[0], t[1], t[2]), x => nn.functional.scaled_dot_product_attention(x[0], x[1], x[2]));
    });

    /// <summary>By ONNX Runtime's own fused op, on [B, N, C].</summary>
    internal static BenchCase FusedAttention(int heads, int dim, int tokens) => Case("attention", $"{heads}x{dim} N{tokens}", "MultiHeadAttention", AttentionWork(heads, dim, tokens), () =>
    {
        long[] shape = [1, tokens, heads, dim], flat = [1, tokens, heads * dim];
        var t = Normal(3, shape);
        var graph = new OnnxGraph();
        graph.Returns(graph.Node($"{OnnxGraph.Microsoft}:MultiHeadAttention", [graph.Input(flat), graph.Input(flat), graph.Input(flat)], ("num_heads", (long)heads)), flat);
        return Pair(t, [.. t.Select(x => x.view(flat))], graph, () => functional.attention(t[0], t[1], t[2]).view(flat),
            x => nn.functional.scaled_dot_product_attention(x[0].transpose(1, 2), x[1].transpose(1, 2), x[2].transpose(1, 2)).transpose(1, 2).reshape(flat));
    });

    /// <summary>A row whose baseline is ONNX Runtime.</summary>
    internal static BenchCase Case(string op, string shape, string nodes, Work work, Func<BenchPair> create) => new()
    {
        Op = op,
        Shape = shape,
        DType = ScalarType.Float32,
        Direction = Direction.Forward,
        Work = work,
        Baseline = $"ONNX Runtime {OnnxSession.Version} {nodes}",
        Create = create,
    };

    private static Tensor[] Normal(int count, long[] shape) => [.. Enumerable.Range(0, count).Select(_ => Inputs.Normal(ScalarType.Float32, shape))];

    // Tensors belong to the scope that the runner opens around each case.
    private static OnnxPair Pair(Tensor[] all, Tensor[] inputs, OnnxGraph graph, Func<Tensor> ours, Func<Tensor[], Tensor> stock) =>
        new(ours, new OnnxSession(graph, inputs), () => stock(Array.ConvertAll(all, t => t.to(float64))));

    private static Work AttentionWork(int heads, int dim, int tokens) =>
        new(4.0 * heads * tokens * tokens * dim, Work.Elements(ScalarType.Float32, 3, 1, heads, tokens, dim).Bytes);
}
