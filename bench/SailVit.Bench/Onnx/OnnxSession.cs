using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace SailVit.Bench.Onnx;

/// <summary>ONNX Runtime on the CPU with as many threads as libtorch, reading and writing libtorch's memory in place.</summary>
internal sealed class OnnxSession : IDisposable
{
    private static readonly Lazy<(string? Version, string? Problem)> Library = new(() =>
    {
        try
        {
            return (OrtEnv.Instance().GetVersionString(), null);
        }
#pragma warning disable CA1031 // Whatever a missing or foreign native library throws: the rows are left out, with this reason.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return (null, (e.InnerException ?? e).Message.Split('\n')[0]);
        }
    });

    private readonly List<IDisposable> _owned = [];
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("sailvit-onnx-");
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _run = new();
    private readonly Tensor _output;

    /// <summary>Optimises the graph and binds its inputs.</summary>
    /// <param name="graph">The graph, written to a temporary folder until disposal.</param>
    /// <param name="inputs">Contiguous float32 tensors that live as long as the session.</param>
    public OnnxSession(OnnxGraph graph, params Tensor[] inputs)
    {
        using var options = new SessionOptions
        {
            IntraOpNumThreads = get_num_threads(),
            InterOpNumThreads = 1,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        // Its threads would spin on while our side is timed.
        options.AddSessionConfigEntry("session.force_spinning_stop", "1");
        try
        {
            _session = new InferenceSession(graph.Save(_folder.FullName), options);
        }
        catch
        {
            _folder.Delete(recursive: true);
            throw;
        }
        _binding = _session.CreateIoBinding();
        _output = empty(graph.Output.Shape).DetachFromDisposeScope();
        foreach (var ((name, _), tensor) in graph.Inputs.Zip(inputs))
        {
            _binding.BindInput(name, Value(tensor));
        }
        _binding.BindOutput(graph.Output.Name, Value(_output));
    }

    /// <summary>Version of the library; null where it does not load.</summary>
    public static string? Version => Library.Value.Version;

    /// <summary>Why the library does not load; null where it does.</summary>
    public static string? Problem => Library.Value.Problem;

    /// <summary>One inference. The result is the session's own memory, overwritten by the next.</summary>
    public Tensor Run()
    {
        _session.RunWithBinding(_run, _binding);
        return _output.alias();
    }

    public void Dispose()
    {
        _run.Dispose();
        _binding.Dispose();
        _session.Dispose();
        _owned.ForEach(value => value.Dispose());
        _output.Dispose();
        _folder.Delete(recursive: true);
    }

    private unsafe OrtValue Value(Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Float32 || !tensor.is_contiguous())
        {
            throw new ArgumentException($"An ONNX tensor here is contiguous float32; this is {tensor.dtype} of strides [{string.Join(", ", tensor.stride())}].", nameof(tensor));
        }
        var bytes = tensor.bytes;
        var value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Float, tensor.shape, (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes)), bytes.Length);
        _owned.Add(value);
        return value;
    }
}
