using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Onnx;

/// <summary>An ONNX graph in float32 under construction. Weights go to a file beside the model, so that it never nears
/// protobuf's limit of 2 GB.</summary>
/// <remarks>Field numbers: onnx.proto3 of ONNX 1.16.</remarks>
internal sealed class OnnxGraph
{
    /// <summary>ONNX Runtime's own ops.</summary>
    public const string Microsoft = "com.microsoft";

    private const string WeightsName = "weights.bin";
    private const int OpsetVersion = 17, IrVersion = 8;
    private const int FloatType = 1, Int64Type = 7;

    private readonly Protobuf _graph = new Protobuf().Text(2, "sailvit");
    private readonly List<Tensor> _weights = [];
    private long _weightBytes;
    private int _names;

    /// <summary>Inputs in order.</summary>
    public List<(string Name, long[] Shape)> Inputs { get; } = [];

    /// <summary>The output.</summary>
    public (string Name, long[] Shape) Output { get; private set; }

    public string Input(params long[] shape)
    {
        string name = $"input{Inputs.Count}";
        Inputs.Add((name, shape));
        _graph.Message(11, ValueInfo(name, shape));
        return name;
    }

    /// <summary>A weight, in float32; it must live until the graph is saved.</summary>
    public string Weight(Tensor tensor)
    {
        string name = $"weight{_weights.Count}";
        long bytes = tensor.numel() * sizeof(float);
        var tensorProto = Header(name, FloatType, tensor.shape);
        foreach (var (key, value) in (ReadOnlySpan<(string, string)>)[("location", WeightsName), ("offset", $"{_weightBytes}"), ("length", $"{bytes}")])
        {
            tensorProto.Message(13, new Protobuf().Text(1, key).Text(2, value));
        }
        _graph.Message(5, tensorProto.Integer(14, 1));
        _weights.Add(tensor);
        _weightBytes += bytes;
        return name;
    }

    public string Constant(params long[] values) => Constant(Int64Type, MemoryMarshal.AsBytes<long>(values), values.Length);

    public string Constant(float value) => Constant(FloatType, MemoryMarshal.AsBytes<float>([value]));

    /// <summary>Adds an op with one output and returns its name.</summary>
    /// <param name="op">The op; one of ONNX Runtime's begins with its domain and a colon.</param>
    /// <param name="inputs">Names.</param>
    /// <param name="attributes">A long, a float, or an array of long each.</param>
    public string Node(string op, string[] inputs, params (string Name, object Value)[] attributes)
    {
        string output = $"v{_names++}";
        var node = new Protobuf();
        Array.ForEach(inputs, input => node.Text(1, input));
        node.Text(2, output);
        string[] parts = op.Split(':');
        node.Text(4, parts[^1]);
        if (parts.Length > 1)
        {
            node.Text(7, parts[0]);
        }
        foreach (var (name, value) in attributes)
        {
            node.Message(5, Attribute(name, value));
        }
        _graph.Message(1, node);
        return output;
    }

    /// <summary>Names the result and its shape.</summary>
    public OnnxGraph Returns(string value, params long[] shape)
    {
        Output = (value, shape);
        _graph.Message(12, ValueInfo(value, shape));
        return this;
    }

    /// <summary>Writes the model and its weights into a folder.</summary>
    /// <returns>Path of the model.</returns>
    public string Save(string folder)
    {
        using (var file = File.Create(Path.Combine(folder, WeightsName)))
        {
            foreach (var weight in _weights)
            {
                using var values = weight.contiguous();
                file.Write(values.bytes);
            }
        }
        var model = new Protobuf().Integer(1, IrVersion).Text(2, "SailVit.Bench").Message(7, _graph)
            .Message(8, new Protobuf().Text(1, "").Integer(2, OpsetVersion))
            .Message(8, new Protobuf().Text(1, Microsoft).Integer(2, 1));
        string path = Path.Combine(folder, "model.onnx");
        File.WriteAllBytes(path, model.ToArray());
        return path;
    }

    private string Constant(int type, ReadOnlySpan<byte> bytes, params long[] shape)
    {
        string name = $"constant{_names++}";
        _graph.Message(5, Header(name, type, shape).Bytes(9, bytes));
        return name;
    }

    private static Protobuf Header(string name, int type, long[] shape)
    {
        var tensor = new Protobuf();
        Array.ForEach(shape, size => tensor.Integer(1, size));
        return tensor.Integer(2, type).Text(8, name);
    }

    private static Protobuf ValueInfo(string name, long[] shape)
    {
        var sizes = new Protobuf();
        Array.ForEach(shape, size => sizes.Message(1, new Protobuf().Integer(1, size)));
        return new Protobuf().Text(1, name).Message(2, new Protobuf().Message(1, new Protobuf().Integer(1, FloatType).Message(2, sizes)));
    }

    private static Protobuf Attribute(string name, object value)
    {
        var attribute = new Protobuf().Text(1, name);
        switch (value)
        {
            case float number:
                return attribute.Float(2, number).Integer(20, 1);
            case long number:
                return attribute.Integer(3, number).Integer(20, 2);
            case long[] numbers:
                Array.ForEach(numbers, number => attribute.Integer(8, number));
                return attribute.Integer(20, 7);
            default:
                throw new ArgumentException($"{name} is a {value.GetType().Name}; it must be a float, a long or an array of long.", nameof(value));
        }
    }
}
