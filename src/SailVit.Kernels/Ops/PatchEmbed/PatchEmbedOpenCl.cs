using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>Patches as an operand of a product on the OpenCL device in use: the left one's rows, or the right one's depth.</summary>
/// <param name="grid">The pixels.</param>
/// <param name="channels">Float32, [channels, 4]; see <see cref="PatchGrid.WriteChannels"/>.</param>
/// <param name="numbers">Whether lines are the numbers of a patch: the right operand of the weight's gradient.</param>
internal readonly unsafe struct PatchPanels(PatchGrid grid, float* channels, bool numbers) : IPanelSource
{
    private long Patches => grid.Images * grid.Patches;

    public long Lines => numbers ? grid.Depth : Patches;

    public long Depth => numbers ? Patches : grid.Depth;

    public void Pack<W, L>(PanelRange range) where W : unmanaged, IPanel where L : unmanaged, ILanes
    {
        var scalars = range.Scalars<W>(Depth);
        if (grid.DType == DType.UInt8)
        {
            Run<PortableU8, W, L>(range, scalars);
            return;
        }
        PortableDispatch.For(grid.DType, new Call<W, L>(this, range, scalars));
    }

    private void Run<P, W, L>(PanelRange range, PackScalars scalars)
        where P : unmanaged, IPortableElement<P>
        where W : unmanaged, IPanel
        where L : unmanaged, ILanes
    {
        HostArray[] arrays =
        [
            HostArray.Read(grid.Pixels, grid.Extent, sizeof(P)),
            HostArray.Read(channels, grid.Channels * PatchGrid.ChannelValues, sizeof(float)),
            range.Target<W>(Depth),
        ];
        var kernel = numbers ? PatchPortable<P, Yes, W, L>.Kernel : PatchPortable<P, No, W, L>.Kernel;
        OpenClProduct.LaunchItems<L, PatchPackScalars>(kernel, scalars.Panels * scalars.Chunks, arrays, new() { Pack = scalars, Patch = grid.Scalars });
    }

    private readonly struct Call<W, L>(PatchPanels panels, PanelRange range, PackScalars scalars) : IPortableCall
        where W : unmanaged, IPanel
        where L : unmanaged, ILanes
    {
        public void Invoke<P>() where P : unmanaged, IPortableElement<P> => panels.Run<P, W, L>(range, scalars);
    }
}

/// <summary>Launches the scatter of the pixels' gradient.</summary>
/// <param name="scalars">Of the result, row-major.</param>
/// <param name="channels">See <see cref="PatchPanels"/>.</param>
/// <param name="pixels">The result.</param>
/// <param name="length">Its elements.</param>
internal readonly unsafe struct PixelGradientLaunch<T>(PatchScalars scalars, float* channels, byte* pixels, long length) : IProductCall
    where T : unmanaged, IPortableElement<T>
{
    public void Launch<R, L>(HostArray left, HostArray right, ProductScalars product) where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes
    {
        HostArray[] arrays =
        [
            left,
            right,
            HostArray.Read(channels, scalars.Channels * PatchGrid.ChannelValues, sizeof(float)),
            HostArray.Write(pixels, length, sizeof(T)),
        ];
        OpenClProduct.Launch<R, L, PixelScalars>(PixelGradientPortable<T, R, L>.Kernel, product, arrays, new() { Product = product, Patch = scalars });
    }
}
