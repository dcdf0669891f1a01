namespace SailVit.Bench;

/// <summary>Benchmarks of one op. Implementations with a parameterless constructor are found by reflection: a new op adds
/// its own file under Ops/ and touches nothing else.</summary>
/// <example><code>
/// internal sealed class SwigluBench : IOpBench
/// {
///     public IEnumerable&lt;BenchCase&gt; Cases() => Shapes.DTypes.SelectMany(dtype => new OpBench
///     {
///         Op = "swiglu",
///         Shape = "1024x2816",
///         DType = dtype,
///         Inputs = () => [Inputs.Normal(dtype, 1024, 2816), Inputs.Normal(dtype, 1024, 2816)],
///         Ours = t => [functional.swiglu(t[0], t[1])],
///         Stock = t => [torch.nn.functional.silu(t[0]) * t[1]],
///         Baseline = "silu, mul",
///         Forward = Work.Elements(dtype, reads: 2, writes: 1, 1024, 2816),
///         Backward = Work.Elements(dtype, reads: 3, writes: 2, 1024, 2816),
///     }.Cases());
/// }
/// </code></example>
public interface IOpBench
{
    /// <summary>What to measure; creating a case allocates nothing.</summary>
    IEnumerable<BenchCase> Cases();
}
