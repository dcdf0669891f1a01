using System.Globalization;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>One compared tensor.</summary>
/// <param name="Name">Key in the expected file.</param>
/// <param name="Shape">Its shape there.</param>
/// <param name="RelativeError">‖a − b‖ / ‖b‖ in float64; null where it is not finite or cannot be taken.</param>
/// <param name="Passed">Whether it is within the tolerance.</param>
/// <param name="Problem">What is wrong other than the size of the error.</param>
internal sealed record VerifiedTensor(string Name, long[] Shape, double? RelativeError, bool Passed, string? Problem);

/// <summary>All comparisons.</summary>
internal sealed record VerificationReport(double Tolerance, IReadOnlyList<VerifiedTensor> Tensors, IReadOnlyList<string> Skipped)
{
    /// <summary>What was compared, and what else of results the file holds.</summary>
    public static VerificationReport Of(double tolerance, List<VerifiedTensor> results, SafetensorsFile expected)
    {
        var compared = results.SelectMany(row => row.Name.Split(" + ")).ToHashSet();
        return new(tolerance, results, [.. expected.Tensors.Keys.Where(key => !key.StartsWith("input.", StringComparison.Ordinal) && !compared.Contains(key))]);
    }

    public bool Passed => Tensors.All(tensor => tensor.Passed);
}

/// <summary>Runs an encoder on the input of an expected file and compares everything that the file holds of it.</summary>
internal static class Verification
{
    private const string LastKey = "output.last";
    private const string SelectedKey = "output.selected";
    private const string HiddenPrefix = "output.hidden.";
    private const string GradOutputKey = "input.grad_output";
    internal const string GradPrefix = "grad.";

    /// <summary>Compares.</summary>
    /// <param name="encoder">The encoder.</param>
    /// <param name="selectLayer">Which hidden state <c>output.selected</c> is; null where the model selects none.</param>
    /// <param name="dtype">The encoder's dtype.</param>
    /// <param name="expected">The expected tensors.</param>
    /// <param name="tolerance">Largest relative error.</param>
    public static VerificationReport Run(VisionTransformer encoder, int? selectLayer, ScalarType dtype, SafetensorsFile expected, double tolerance)
    {
        using var scope = NewDisposeScope();
        using var input = new TensorInput(expected.Path, encoder.Config);
        int[] hidden = [.. expected.Tensors.Keys.Select(Layer).Where(layer => layer >= 0 && layer < encoder.HiddenStates).Order()];
        int[] selected = selectLayer is { } select && expected.Tensors.ContainsKey(SelectedKey) ? [select] : [];
        var output = encoder.Encode(input.Pixels.to(dtype), hidden.Union(selected));

        var actual = hidden.ToDictionary(layer => HiddenPrefix + layer, layer => output.Hidden[layer]);
        actual.Add(LastKey, output.Last);
        foreach (int layer in selected)
        {
            actual.Add(SelectedKey, Selected(encoder.Config, layer, output));
        }
        var results = expected.Tensors.Keys.Where(actual.ContainsKey).Select(key => Compare(key, actual[key], expected.Read(key), tolerance)).ToList();
        results.AddRange(Gradients(encoder, output.Last, expected, tolerance));
        if (results.Count == 0)
        {
            throw new ArgumentException($"{expected.Path}: holds nothing to compare; expected are {LastKey}, {HiddenPrefix}<i> from 0 to {encoder.HiddenStates - 1}, or {GradPrefix}<name> with {GradOutputKey}.");
        }
        return VerificationReport.Of(tolerance, results, expected);
    }

    // As the multimodal models do: -1 is the normed output, and the class token is left out.
    internal static Tensor Selected(EncoderConfig config, int layer, EncoderOutput output)
    {
        var state = layer == -1 ? output.Last : output.Hidden[layer];
        return config.ClassToken ? state.narrow(1, 1, state.shape[1] - 1) : state;
    }

    private static int Layer(string key) =>
        key.StartsWith(HiddenPrefix, StringComparison.Ordinal) && int.TryParse(key.AsSpan(HiddenPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int layer) && key == HiddenPrefix + layer ? layer : -1;

    private static List<VerifiedTensor> Gradients(VisionTransformer encoder, Tensor last, SafetensorsFile expected, double tolerance)
    {
        // Without the gradient of the output there is nothing to send back.
        string[] names = GradientNames(expected);
        if (names.Length == 0 || !expected.Tensors.TryGetValue(GradOutputKey, out var gradOutput))
        {
            return [];
        }
        if (!gradOutput.Shape.AsSpan().SequenceEqual(last.shape))
        {
            throw new ArgumentException($"{expected.Path}: {GradOutputKey} is [{string.Join(", ", gradOutput.Shape)}]; the encoder's output is [{string.Join(", ", last.shape)}].");
        }
        last.backward([expected.Read(GradOutputKey).to(last.dtype)]);

        return CompareGradients(encoder, KeyMap.Resolve(names, encoder.Config.Family), expected, tolerance, "encoder");
    }

    /// <summary>Parameters whose gradients the file holds, by its own names.</summary>
    internal static string[] GradientNames(SafetensorsFile expected) =>
        [.. expected.Tensors.Keys.Where(key => key.StartsWith(GradPrefix, StringComparison.Ordinal)).Select(key => key[GradPrefix.Length..])];

    /// <summary>Compares the gradients of those parameters that <paramref name="names"/> maps the file's names to.</summary>
    internal static List<VerifiedTensor> CompareGradients(nn.Module model, IReadOnlyDictionary<string, string[]> names, SafetensorsFile expected, double tolerance, string what)
    {
        var parameters = model.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        var results = new List<VerifiedTensor>();
        foreach (var (name, sources) in names.Where(pair => parameters.ContainsKey(pair.Key)))
        {
            string key = string.Join(" + ", sources.Select(source => GradPrefix + source));
            var reference = KeyMap.Assemble(name, [.. sources.Select(source => expected.Read(GradPrefix + source))]);
            results.Add(parameters[name].grad is { } gradient
                ? Compare(key, gradient, reference, tolerance)
                : new VerifiedTensor(key, reference.shape, null, false, $"the {what} gives no gradient"));
        }
        return results;
    }

    internal static VerifiedTensor Compare(string name, Tensor actual, Tensor expected, double tolerance)
    {
        if (!actual.shape.AsSpan().SequenceEqual(expected.shape))
        {
            return new VerifiedTensor(name, expected.shape, null, false, $"the model's shape is [{string.Join(", ", actual.shape)}]");
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var reference = expected.to(ScalarType.Float64);
        double difference = (actual.to(ScalarType.Float64) - reference).norm().item<double>(), size = reference.norm().item<double>();
        // An expected zero has no relative error; then the absolute one counts.
        double error = size == 0 ? difference : difference / size;
        return new VerifiedTensor(name, expected.shape, double.IsFinite(error) ? error : null, error <= tolerance, double.IsFinite(error) ? null : "holds NaN or infinite values");
    }
}
