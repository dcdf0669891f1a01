using SailVit.Kernels;
using static TorchSharp.torch;

namespace MyModel;

public static class Existing
{
    public static void Step(nn.Module<Tensor, Tensor> model, optim.Optimizer optimizer, Tensor x, Tensor target)
    {
        using var accelerator = Accelerator.Install(); // the model below is TorchSharp's own, and stays as it is
        nn.functional.mse_loss(model.call(x), target).backward();
        optimizer.step();
    }
}
