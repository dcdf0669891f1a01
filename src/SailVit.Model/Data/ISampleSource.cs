namespace SailVit.Model.Data;

/// <summary>Samples that can be read in any order, without the source ever being whole in memory.</summary>
/// <remarks>Thread-safe.</remarks>
public interface ISampleSource : IDisposable
{
    /// <summary>Names the source in messages.</summary>
    string Name { get; }

    /// <summary>Samples, those that turn out to be unusable included.</summary>
    long Count { get; }

    /// <summary>Sizes of the runs of samples that must be read together (row groups); one run where each can be read alone.</summary>
    IReadOnlyList<long> Groups { get; }

    /// <summary>What was found to be damaged while the source was opened.</summary>
    IReadOnlyList<Skip> Damage { get; }

    /// <summary>Reads a sample.</summary>
    /// <exception cref="SampleException">It cannot be used.</exception>
    ConversationSample Read(long index);
}

/// <summary>A sample that was not used.</summary>
/// <param name="Reason">Under which it is counted.</param>
/// <param name="Message">Which it was, and what is wrong with it.</param>
public sealed record Skip(SkipReason Reason, string Message);
