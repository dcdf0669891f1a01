using SailVit.Kernels.Dispatch;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>A pair whose sides use different threads of one processor, or a device.</summary>
/// <remarks>libtorch's threads spin for some milliseconds after their last work. A device that is this processor would share its
/// cores with them, and be measured as half of itself.</remarks>
internal sealed class DevicePair(BenchPair pair) : BenchPair
{
    /// <summary>How long worker threads may spin.</summary>
    public static readonly TimeSpan SpinningEnds = TimeSpan.FromMilliseconds(20);

    /// <summary>A sample repeats the call so long, that the first after the wait, when threads and caches are cold, weighs little.</summary>
    public const double SampleMs = 40;

    /// <summary>Whether our side runs on a device.</summary>
    public static bool IsNeeded => Dispatcher.Choice == BackendKind.OpenCl;

    public override Tensor[] Ours() => pair.Ours();

    public override Tensor[] Stock() => pair.Stock();

    public override (double? Ours, double? Stock) Errors() => pair.Errors();

    public override void Settle() => Thread.Sleep(SpinningEnds);

    protected override void Dispose(bool disposing) => pair.Dispose();
}
