using static TorchSharp.torch;

namespace SailVit.Kernels.Modules;

/// <summary>A branch of a transformer block that ends in a matrix product, whose epilogue can add the residual.</summary>
public interface IResidualBranch
{
    /// <summary>residual + branch(x); the branch alone if <paramref name="residual"/> is null.</summary>
    Tensor forward(Tensor x, Tensor? residual);
}
