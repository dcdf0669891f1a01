using SailVit.Model.Training;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Evaluation;

/// <summary>How well classes can be read off frozen features.</summary>
/// <remarks>Sources: SAIL-VL2 report, arXiv 2509.14033, §6.2.1 (mean of the final block's tokens → two-layer MLP, 10 epochs); AIM,
/// arXiv 2401.08541 (attentive probe); Caron et al. 2021, arXiv 2104.14294 (weighted nearest neighbours, temperature 0.07).</remarks>
public static class Probe
{
    private const double Temperature = 0.07;

    /// <summary>Trains on one set and tests on others.</summary>
    /// <param name="train">Training features.</param>
    /// <param name="tests">Test features, of the same width.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="options">Settings.</param>
    /// <returns>One accuracy per test set.</returns>
    public static IReadOnlyList<Accuracy> Run(ProbeFeatures train, IReadOnlyList<ProbeFeatures> tests, int classes, ProbeOptions options)
    {
        ArgumentNullException.ThrowIfNull(train);
        ArgumentNullException.ThrowIfNull(tests);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (options.Kind == ProbeKind.Nearest)
        {
            return [.. tests.Select(test => Nearest(train, test, classes, options.Neighbours))];
        }
        using var random = new Generator((ulong)options.Seed);
        torch.random.manual_seed(options.Seed);
        // Features have scales of their own; the probes' rate should not depend on them.
        using var mean = train.Tokens.mean([0L, 1L]);
        using Scalar least = 1e-6;
        using var deviation = train.Tokens.std([0L, 1L]).clamp_min(least);
        using var head = Head(train.Tokens.shape[^1], classes, options);
        Train(head, train, mean, deviation, options, random);
        return [.. tests.Select(test => Test(head, test, mean, deviation, options.BatchSize))];
    }

    private static Module<Tensor, Tensor> Head(long width, int classes, ProbeOptions options)
    {
        long hidden = options.Hidden > 0 ? options.Hidden : width;
        return options.Kind switch
        {
            ProbeKind.Mlp => Sequential(("pool", new MeanPool()), ("fc1", Linear(width, hidden)), ("act", GELU()), ("fc2", Linear(hidden, classes))),
            ProbeKind.Linear => Sequential(("pool", new MeanPool()), ("fc", Linear(width, classes))),
            _ => Sequential(("pool", new AttentivePool(width, options.Heads)), ("fc", Linear(width, classes))),
        };
    }

    private static void Train(Module<Tensor, Tensor> head, ProbeFeatures set, Tensor mean, Tensor deviation, ProbeOptions options, Generator random)
    {
        using var optimizer = new FusedAdamW(head.parameters(), options.LearningRate, weight_decay: options.WeightDecay);
        long steps = options.Epochs * ((set.Count + options.BatchSize - 1) / options.BatchSize), step = 0;
        var schedule = new LearningRateSchedule(ScheduleKind.Cosine, steps);
        head.train();
        for (int epoch = 0; epoch < options.Epochs; epoch++)
        {
            using var order = randperm(set.Count, generator: random);
            for (long first = 0; first < set.Count; first += options.BatchSize)
            {
                using var scope = NewDisposeScope();
                var rows = order.narrow(0, first, Math.Min(options.BatchSize, set.Count - first));
                optimizer.ParamGroups.First().LearningRate = options.LearningRate * schedule.Factor(step++);
                optimizer.zero_grad();
                functional.cross_entropy(head.call((set.Tokens.index_select(0, rows) - mean) / deviation), set.Labels.index_select(0, rows)).backward();
                optimizer.step();
            }
        }
    }

    private static Accuracy Test(Module<Tensor, Tensor> head, ProbeFeatures set, Tensor mean, Tensor deviation, int batchSize)
    {
        using var noGrad = no_grad();
        head.eval();
        long right = 0;
        for (long first = 0; first < set.Count; first += batchSize)
        {
            using var scope = NewDisposeScope();
            long count = Math.Min(batchSize, set.Count - first);
            var answers = head.call((set.Tokens.narrow(0, first, count) - mean) / deviation).argmax(-1);
            right += answers.eq(set.Labels.narrow(0, first, count)).sum().item<long>();
        }
        return new((int)right, set.Count);
    }

    private static Accuracy Nearest(ProbeFeatures train, ProbeFeatures test, int classes, int neighbours)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        using Scalar temperature = Temperature;
        var known = functional.normalize(train.Tokens.mean([1]), dim: -1);
        var asked = functional.normalize(test.Tokens.mean([1]), dim: -1);
        var (similarity, places) = asked.matmul(known.t()).topk(Math.Min(neighbours, train.Count), 1);
        var votes = zeros(test.Count, classes).scatter_add_(1, train.Labels.index_select(0, places.flatten()).view(places.shape), similarity.div(temperature).exp());
        return new((int)votes.argmax(-1).eq(test.Labels).sum().item<long>(), test.Count);
    }

    /// <summary>[B, N, C] → [B, C].</summary>
    private sealed class MeanPool() : Module<Tensor, Tensor>(nameof(MeanPool))
    {
        public override Tensor forward(Tensor input) => input.mean([1]);
    }
}
