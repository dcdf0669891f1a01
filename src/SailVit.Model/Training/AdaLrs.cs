namespace SailVit.Model.Training;

/// <summary>Settings of <see cref="AdaLrs"/>. The report gives the form and the conditions (α, β &gt; 1, co-prime integers;
/// 0 &lt; λ &lt; 1), not the values: these are this project's defaults.</summary>
/// <param name="Window">k: steps over which a slope is taken.</param>
/// <param name="Alpha">Up-scaling of the first trial.</param>
/// <param name="Beta">Down-scaling of the first trial.</param>
/// <param name="Decay">λ: both shrink towards 1 with every trial.</param>
/// <param name="Epsilon">ε: slopes closer than 2ε, in loss per step, count as equal.</param>
public sealed record AdaLrsOptions(int Window = 50, int Alpha = 3, int Beta = 2, double Decay = 0.9, double Epsilon = 1e-5)
{
    /// <exception cref="ArgumentException">A value breaks the method's conditions.</exception>
    public void Validate()
    {
        if (Window < 2 || Alpha < 2 || Beta < 2 || Gcd(Alpha, Beta) != 1 || !(Decay is > 0 and < 1) || !(Epsilon >= 0))
        {
            throw new ArgumentException($"AdaLRS with {this} is not defined: it needs a window of at least 2 steps, co-prime integers alpha and beta above 1, 0 < decay < 1 and epsilon ≥ 0.");
        }
    }

    private static int Gcd(int a, int b) => b == 0 ? a : Gcd(b, a % b);
}

/// <summary>What the trainer must do before the next step.</summary>
public enum AdaLrsAction
{
    /// <summary>Go on.</summary>
    None,

    /// <summary>Keep a copy of weights and optimizer state.</summary>
    Snapshot,

    /// <summary>Go back to the copy, which is then no longer needed.</summary>
    Restore,

    /// <summary>The copy is no longer needed.</summary>
    Discard,
}

/// <summary>All that a search remembers between steps; written into checkpoints.</summary>
public sealed record AdaLrsState
{
    /// <summary>Factor on every group's learning rate.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>The factor before the running trial.</summary>
    public double Before { get; init; } = 1;

    /// <summary>Loss descent per step at <see cref="Before"/>; null until the first window is full.</summary>
    public double? Speed { get; init; }

    /// <summary>Trials so far, t.</summary>
    public int Trials { get; init; }

    /// <summary>Losses of the running window.</summary>
    public IReadOnlyList<double> Losses { get; init; } = [];
}

/// <summary>AdaLRS: a backtracking line search of the learning rate on the slope of the loss, while training goes on.</summary>
/// <remarks>
/// Over a window of k steps the loss falls by v per step. The rate is raised by α′ = max(λᵗ·α, 1) and v taken again: more by
/// over 2ε, the new rate stays; less by over 2ε, weights and optimizer state go back and the rate falls by β′ = 1 / max(λᵗ·β, 1);
/// otherwise the old rate returns. Both factors tend to 1, and the search ends.
/// Source: SAIL-VL2 report, arXiv 2509.14033, §3.2.3, eq. 1.
/// </remarks>
public sealed class AdaLrs
{
    private readonly AdaLrsOptions _options;

    /// <summary>Begins a search, or goes on with one.</summary>
    public AdaLrs(AdaLrsOptions options, AdaLrsState? state = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        State = state ?? new();
    }

    /// <summary>What it remembers.</summary>
    public AdaLrsState State { get; private set; }

    /// <summary>Whether another rate is being tried, which may have to be given back.</summary>
    public bool InTrial => State.Factor != State.Before;

    private double Up => Math.Max(Math.Pow(_options.Decay, State.Trials) * _options.Alpha, 1);

    private double Down => 1 / Math.Max(Math.Pow(_options.Decay, State.Trials) * _options.Beta, 1);

    /// <summary>Whether neither factor would change the rate any more.</summary>
    public bool Ended => Up == 1 && Down == 1;

    /// <summary>Takes the loss of the step just made and says what to do before the next one; <see cref="AdaLrsState.Factor"/> is then the next step's.</summary>
    public AdaLrsAction Observe(double loss)
    {
        if (Ended && State.Losses.Count == 0)
        {
            return AdaLrsAction.None;
        }
        State = State with { Losses = [.. State.Losses, loss] };
        if (State.Losses.Count < _options.Window)
        {
            return AdaLrsAction.None;
        }
        double speed = -Slope(State.Losses);
        return InTrial && State.Speed is { } before ? Judge(speed, before) : Try(speed);
    }

    // The window just ended is the measure for the trial that begins.
    private AdaLrsAction Try(double speed)
    {
        State = State with { Speed = speed, Before = State.Factor, Factor = State.Factor * Up, Losses = [] };
        if (State.Factor != State.Before)
        {
            return AdaLrsAction.Snapshot;
        }
        State = State with { Trials = State.Trials + 1 };
        return AdaLrsAction.None;
    }

    private AdaLrsAction Judge(double speed, double before)
    {
        double difference = speed - before, margin = 2 * _options.Epsilon;
        (double factor, var action) = difference > margin ? (State.Factor, AdaLrsAction.Discard)
            : difference < -margin ? (State.Before * Down, AdaLrsAction.Restore)
            : (State.Before, AdaLrsAction.Discard);
        State = State with { Factor = factor, Before = factor, Speed = null, Trials = State.Trials + 1, Losses = [] };
        return action;
    }

    /// <summary>Least-squares slope of values at 0, 1, 2, ….</summary>
    internal static double Slope(IReadOnlyList<double> values)
    {
        double center = (values.Count - 1) / 2.0, mean = values.Average(), above = 0, below = 0;
        for (int i = 0; i < values.Count; i++)
        {
            above += (i - center) * (values[i] - mean);
            below += (i - center) * (i - center);
        }
        return above / below;
    }
}
