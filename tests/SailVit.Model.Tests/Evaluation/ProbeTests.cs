using SailVit.Model.Evaluation;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Evaluation;

public sealed class ProbeTests : IDisposable
{
    private const int Classes = 4, Width = 16;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(11);

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private Tensor Noise(params long[] shape) => randn(shape, generator: _random);

    private Tensor Labels(int images) => randint(0, Classes, [images], dtype: int64, generator: _random);

    /// <summary>The class is in the mean of the tokens.</summary>
    private ProbeFeatures Separable(int images, Tensor centres)
    {
        var labels = Labels(images);
        return ProbeFeatures.Of(Noise(images, 5, Width) + centres.index_select(0, labels).unsqueeze(1), labels);
    }

    private ProbeFeatures Unrelated(int images) => ProbeFeatures.Of(Noise(images, 5, Width), Labels(images));

    /// <summary>The class is in one token, its opposite in another, so that their mean says nothing; the first channel tells which is which.</summary>
    private ProbeFeatures OnlyByAttention(int images, Tensor centres)
    {
        var labels = Labels(images);
        var tokens = Noise(images, 4, Width) * 0.3;
        var signal = centres.index_select(0, labels);
        tokens.select(1, 1).add_(signal);
        tokens.select(1, 3).add_(-signal);
        tokens.select(1, 1).select(1, 0).add_(6);
        tokens.select(1, 3).select(1, 0).add_(-6);
        return ProbeFeatures.Of(tokens, labels);
    }

    private static ProbeOptions Options(ProbeKind kind, int seed = 3) => new() { Kind = kind, BatchSize = 32, LearningRate = 5e-3, Seed = seed, Heads = 2 };

    public static TheoryData<ProbeKind> Kinds => [.. Enum.GetValues<ProbeKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void SeparableClasses_AreLearned(ProbeKind kind)
    {
        var centres = Noise(Classes, Width) * 2;
        var found = Probe.Run(Separable(400, centres), [Separable(200, centres), Separable(100, centres)], Classes, Options(kind));
        Assert.Equal([200, 100], found.Select(f => f.All));
        Assert.All(found, f => Assert.True(f.Value > 0.95, $"{f}"));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RandomLabels_StayAtChance(ProbeKind kind)
    {
        var found = Assert.Single(Probe.Run(Unrelated(300), [Unrelated(400)], Classes, Options(kind)));
        // Four standard deviations of 400 draws at 1/4.
        Assert.InRange(found.Value, 0.25 - 0.087, 0.25 + 0.087);
    }

    [Fact]
    public void WhatTheMeanLoses_OnlyTheAttentiveProbeFinds()
    {
        var centres = Noise(Classes, Width) * 2;
        centres.select(1, 0).zero_();
        var (train, test) = (OnlyByAttention(600, centres), OnlyByAttention(200, centres));
        double Right(ProbeKind kind) => Probe.Run(train, [test], Classes, Options(kind) with { Epochs = 20 })[0].Value;
        Assert.InRange(Right(ProbeKind.Linear), 0, 0.45);
        Assert.InRange(Right(ProbeKind.Attentive), 0.9, 1);
    }

    [Fact]
    public void ASeed_FixesTheResult()
    {
        var (train, test) = (Unrelated(300), Unrelated(400));
        int Right(int seed) => Probe.Run(train, [test], Classes, Options(ProbeKind.Mlp, seed))[0].Right;
        Assert.Equal(Right(1), Right(1));
        Assert.True(Enumerable.Range(1, 4).Select(Right).Distinct().Count() > 1);
    }

    [Fact]
    public void WhatCannotBeTrained_IsRefused()
    {
        var set = Unrelated(8);
        Assert.Contains("0 epochs", Assert.Throws<ArgumentException>(() => Probe.Run(set, [set], Classes, new() { Epochs = 0 })).Message, StringComparison.Ordinal);
        Assert.Contains("3 heads", Assert.Throws<ArgumentException>(() => Probe.Run(set, [set], Classes, new() { Kind = ProbeKind.Attentive, Heads = 3 })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ProbeFeatures.Of(zeros(3, 4), zeros(3, dtype: int64)));
    }

    // Newcombe 1998, Table I, method 3.
    [Theory]
    [InlineData(81, 263, 0.2553, 0.3662)]
    [InlineData(15, 148, 0.0624, 0.1605)]
    [InlineData(0, 20, 0, 0.1611)]
    [InlineData(1, 29, 0.0061, 0.1718)]
    [InlineData(20, 20, 0.8389, 1)]
    [InlineData(0, 0, 0, 1)]
    public void Interval_IsWilsons(int right, int all, double low, double high)
    {
        var interval = new Accuracy(right, all).Interval;
        Assert.Equal(low, interval.Low, 5e-5);
        Assert.Equal(high, interval.High, 5e-5);
    }
}
