namespace SailVit.Kernels;

/// <summary>Fused ops with the names and signatures of TorchSharp's <c>torch.nn.functional</c> where that has the op,
/// and what it lacks. Each op lives in its own folder under <c>Ops</c>.</summary>
public static partial class functional;
