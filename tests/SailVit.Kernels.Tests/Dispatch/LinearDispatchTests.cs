using System.Diagnostics.Tracing;
using System.Runtime.Intrinsics;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Dispatch;

public sealed class LinearDispatchTests
{
    [Theory]
    [InlineData(null, LinearPath.Auto)]
    [InlineData("", LinearPath.Auto)]
    [InlineData("AUTO", LinearPath.Auto)]
    [InlineData("own", LinearPath.Own)]
    [InlineData("libtorch", LinearPath.LibTorch)]
    public void Names_AreParsed(string? name, LinearPath path) => Assert.Equal(path, LinearDispatch.Parse(name));

    [Fact]
    public void UnknownName_SaysWhichThereAre() =>
        Assert.Contains("own or libtorch", Assert.Throws<PlatformNotSupportedException>(() => LinearDispatch.Parse("mkl")).Message, StringComparison.Ordinal);

    [Fact]
    public void Use_ForcesAndRestores()
    {
        var before = LinearDispatch.Choice;
        using (LinearDispatch.Use(LinearPath.LibTorch))
        {
            var (path, reason) = LinearDispatch.Explain(float32);
            Assert.Equal(LinearPath.LibTorch, path);
            Assert.Contains("forced", reason, StringComparison.Ordinal);
        }
        Assert.Equal(before, LinearDispatch.Choice);
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Rule_DecidesWithAReason(ScalarType dtype)
    {
        using var unforced = LinearDispatch.Use(LinearPath.Auto);
        var (path, reason) = LinearDispatch.Explain(dtype);
        Assert.NotEqual(LinearPath.Auto, path);
        Assert.NotEmpty(reason);
    }

    [Fact]
    public void FewRows_DoNotPackTheWeightForOneCall()
    {
        using var unforced = LinearDispatch.Use(LinearPath.Auto);
        using (LinearDispatch.Use(LinearPath.Own))
        {
            Assert.Equal(LinearPath.Own, LinearDispatch.For(DType.Float32, rows: 1, packed: false));
        }
        Assert.Equal(LinearPath.LibTorch, LinearDispatch.For(DType.Float32, rows: 1, packed: false));
        Assert.Equal(LinearDispatch.Explain(float32).Path, LinearDispatch.For(DType.Float32, rows: 1, packed: true));
        Assert.Equal(Vector256.IsHardwareAccelerated ? LinearPath.Own : LinearDispatch.Explain(float32).Path, LinearDispatch.For(DType.BFloat16, rows: 8, packed: false, training: false));
        Assert.Equal(LinearDispatch.Explain(float32).Path, LinearDispatch.For(DType.Float32, rows: 1024, packed: false));
    }

    [Fact]
    public void WhatRan_IsAnEvent()
    {
        using var listener = new Listener();
        using var scope = NewDisposeScope();
        // Odd sizes: other tests run at the same time.
        var (x, w) = (randn(3, 11), randn(13, 11));
        foreach (var path in (LinearPath[])[LinearPath.Own, LinearPath.LibTorch])
        {
            using var forced = LinearDispatch.Use(path);
            functional.linear(x, w);
        }
        Assert.Equal(["linear cpu [3, 11] x [13, 11] Float32", "linear libtorch [3, 11] x [13, 11] Float32"], listener.Events.Where(e => e.Contains("[3, 11] x [13, 11]", StringComparison.Ordinal)));
    }

    private sealed class Listener : EventListener
    {
        private readonly List<string> _events = [];

        public string[] Events
        {
            get
            {
                lock (_events)
                {
                    return [.. _events];
                }
            }
        }

        protected override void OnEventSourceCreated(EventSource eventSource)
        {
            if (eventSource.Name == "SailVit")
            {
                EnableEvents(eventSource, EventLevel.Informational);
            }
        }

        protected override void OnEventWritten(EventWrittenEventArgs eventData)
        {
            // The base constructor may deliver events before this one's fields exist.
            if (_events is { } events)
            {
                lock (events)
                {
                    events.Add(string.Join(' ', eventData.Payload!));
                }
            }
        }
    }
}
