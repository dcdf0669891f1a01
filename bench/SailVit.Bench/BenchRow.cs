using System.Text.Json.Serialization;
using SailVit.Bench.Measuring;

namespace SailVit.Bench;

/// <summary>One measured row. The names in the file are fixed; scripts rely on them.</summary>
public sealed record BenchRow
{
    [JsonPropertyName("op")] public required string Op { get; init; }

    [JsonPropertyName("shape")] public required string Shape { get; init; }

    [JsonPropertyName("dtype")] public required string DType { get; init; }

    /// <summary>forward or forward_backward.</summary>
    [JsonPropertyName("direction")] public required string Direction { get; init; }

    [JsonPropertyName("backend")] public required string Backend { get; init; }

    /// <summary>Median milliseconds per call.</summary>
    [JsonPropertyName("ms")] public required double Ms { get; init; }

    [JsonPropertyName("baseline")] public required string Baseline { get; init; }

    [JsonPropertyName("baseline_ms")] public required double BaselineMs { get; init; }

    /// <summary>baseline_ms / ms.</summary>
    [JsonPropertyName("speedup")] public double Speedup => BaselineMs / Ms;

    /// <summary>Time at the machine's limit / ms. Above 1 where the data stays in a cache.</summary>
    [JsonPropertyName("fraction_of_limit")] public double FractionOfLimit { get; init; }

    /// <summary>‖a − b‖ / ‖b‖ against float64, the worst of outputs and gradients; null where no reference was computed.</summary>
    [JsonPropertyName("rel_error")] public required double? RelError { get; init; }

    [JsonPropertyName("baseline_rel_error")] public required double? BaselineRelError { get; init; }

    [JsonPropertyName("ms_p10")] public required double MsP10 { get; init; }

    [JsonPropertyName("ms_p90")] public required double MsP90 { get; init; }

    [JsonPropertyName("baseline_ms_p10")] public required double BaselineMsP10 { get; init; }

    [JsonPropertyName("baseline_ms_p90")] public required double BaselineMsP90 { get; init; }

    /// <summary>Floating-point operations of a call, a multiply-add counts two.</summary>
    [JsonPropertyName("flops")] public required double Flops { get; init; }

    /// <summary>Bytes that a call must read and write.</summary>
    [JsonPropertyName("bytes")] public required double Bytes { get; init; }

    /// <summary>Peak resident memory of the process that ran only our side, MB; models only.</summary>
    [JsonPropertyName("peak_mb"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? PeakMb { get; init; }

    [JsonPropertyName("baseline_peak_mb"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BaselinePeakMb { get; init; }

    /// <summary>The row with its fraction of <paramref name="limits"/>.</summary>
    public BenchRow At(Limits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        return this with { FractionOfLimit = limits.Seconds(new(Flops, Bytes)) * 1e3 / Ms };
    }
}
