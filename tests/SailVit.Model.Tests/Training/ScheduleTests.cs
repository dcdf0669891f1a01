using System.Buffers.Binary;
using System.Text;
using SailVit.Model.Training;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

public sealed class ScheduleTests
{
    [Fact]
    public void WarmUpThenCosine()
    {
        var schedule = new LearningRateSchedule(ScheduleKind.Cosine, 110, 10, 0.1);
        Assert.Equal(0.1, schedule.Factor(0), 1e-12);
        Assert.Equal(1, schedule.Factor(9), 1e-12);
        Assert.Equal(1, schedule.Factor(10), 1e-12);
        Assert.Equal(0.55, schedule.Factor(60), 1e-12);
        Assert.Equal(0.1, schedule.Factor(110), 1e-12);
        Assert.Equal(0.1, schedule.Factor(500), 1e-12);
        Assert.Equal(0.55, (schedule with { Kind = ScheduleKind.Linear }).Factor(60), 1e-12);
        Assert.Equal(1, (schedule with { Kind = ScheduleKind.Constant }).Factor(109));
    }

    /// <summary>Behind warm-up every step's factor is that of transformers' schedulers, the last step's too; the least factor is that of the end.</summary>
    [Theory]
    [InlineData(100, 10, 0)]
    [InlineData(100, 10, 0.1)]
    [InlineData(7, 0, 0.25)]
    [InlineData(1, 0, 0)]
    [InlineData(5, 5, 0.1)]
    public void Factors_AreThoseOfTransformers(int steps, int warmup, double least)
    {
        var cosine = new LearningRateSchedule(ScheduleKind.Cosine, steps, warmup, least);
        for (int step = warmup; step < steps; step++)
        {
            // Transformers 4.57: factor = 0.5·(1 + cos(π·num_cycles·2·progress)) with num_cycles = 0.5, then factor·(1 − min) + min.
            double progress = (double)(step - warmup) / Math.Max(1, steps - warmup);
            Assert.Equal((Math.Pow(Math.Cos(Math.PI * progress / 2), 2) * (1 - least)) + least, cosine.Factor(step), 1e-12);
            Assert.Equal((1.0 * (steps - step) / Math.Max(1, steps - warmup) * (1 - least)) + least, (cosine with { Kind = ScheduleKind.Linear }).Factor(step), 1e-12);
        }
        for (int step = 0; step < warmup; step++)
        {
            // One step ahead of theirs: step / warmup.
            Assert.Equal((step + 1.0) / warmup, cosine.Factor(step), 1e-12);
        }
        Assert.Equal(steps == warmup ? 1 : least, cosine.Factor(steps), 1e-12);
    }

    [Theory]
    [InlineData(0, 0, 0, "needs at least 1")]
    [InlineData(5, 6, 0, "does not fit")]
    [InlineData(5, 0, 1.5, "least factor is 1.5")]
    public void ImpossibleSchedules_AreNamed(long steps, long warmup, double least, string part) =>
        Assert.Contains(part, Assert.Throws<ArgumentException>(() => new LearningRateSchedule(ScheduleKind.Cosine, steps, warmup, least).Validate()).Message, StringComparison.Ordinal);

    /// <summary>Losses that fall by a speed that the current rate decides.</summary>
    private static (AdaLrs Search, List<AdaLrsAction> Actions) Search(Func<double, double> speed, int steps)
    {
        var search = new AdaLrs(new(4, 3, 2, 0.5, 1e-6));
        var actions = new List<AdaLrsAction>();
        double loss = 10;
        for (int i = 0; i < steps; i++)
        {
            loss -= speed(search.State.Factor);
            actions.Add(search.Observe(loss));
        }
        return (search, actions);
    }

    [Fact]
    public void AFasterRateStays()
    {
        var (search, actions) = Search(f => 0.01 * f, 8);
        Assert.Equal(AdaLrsAction.Snapshot, actions[3]);
        Assert.Equal(AdaLrsAction.Discard, actions[7]);
        Assert.Equal(3, search.State.Factor);
    }

    [Fact]
    public void ASlowerRateGoesBackAndFalls()
    {
        var (search, actions) = Search(f => f > 1 ? -0.1 : 0.01, 8);
        Assert.Equal(AdaLrsAction.Restore, actions[7]);
        Assert.Equal(0.5, search.State.Factor);
    }

    [Fact]
    public void AnEqualRateGoesBackAlone()
    {
        var (search, actions) = Search(_ => 0.01, 8);
        Assert.Equal(AdaLrsAction.Discard, actions[7]);
        Assert.Equal(1, search.State.Factor);
    }

    [Fact]
    public void TheSearchEndsAtTheBestRate()
    {
        // Descent is fastest at a factor of 2.
        var (search, _) = Search(f => 0.01 * (4 - ((f - 2) * (f - 2))), 400);
        Assert.True(search.Ended);
        Assert.InRange(search.State.Factor, 1, 3);
    }

    [Theory]
    [InlineData(1, 3, 2, 0.5)]
    [InlineData(4, 4, 2, 0.5)]
    [InlineData(4, 3, 1, 0.5)]
    [InlineData(4, 3, 2, 1)]
    public void UndefinedSearches_AreRefused(int window, int alpha, int beta, double decay) =>
        Assert.Throws<ArgumentException>(() => new AdaLrs(new(window, alpha, beta, decay)));

    [Fact]
    public void TensorBoardFile_HasFramedEvents()
    {
        // The check value of CRC-32C: E3069283, masked as TFRecord does.
        uint crc = 0xE3069283, masked = unchecked(((crc >> 15) | (crc << 17)) + 0xa282ead8u);
        Assert.Equal(masked, BinaryPrimitives.ReadUInt32LittleEndian(TensorBoardWriter.MaskedCrc("123456789"u8)));

        string folder = Directory.CreateTempSubdirectory("sailvit-events-").FullName;
        using (var writer = new TensorBoardWriter(folder, DateTimeOffset.UnixEpoch))
        {
            writer.Add(300, DateTimeOffset.UnixEpoch, [("loss", 1.5), ("norm", 2)]);
        }
        byte[] bytes = File.ReadAllBytes(Assert.Single(Directory.GetFiles(folder, "events.out.tfevents.*")));
        var events = new List<byte[]>();
        for (int at = 0; at < bytes.Length;)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(at));
            Assert.Equal(TensorBoardWriter.MaskedCrc(bytes.AsSpan(at, 8)), bytes[(at + 8)..(at + 12)]);
            Assert.Equal(TensorBoardWriter.MaskedCrc(bytes.AsSpan(at + 12, length)), bytes[(at + 12 + length)..(at + 16 + length)]);
            events.Add(bytes[(at + 12)..(at + 12 + length)]);
            at += 16 + length;
        }
        Assert.Equal(2, events.Count);
        Assert.Contains("brain.Event:2", Encoding.ASCII.GetString(events[0]), StringComparison.Ordinal);
        // Step 300 as a varint, then the summary with the first value.
        byte[] expected = [16, 0xAC, 2, (5 << 3) | 2, 26, (1 << 3) | 2, 11, (1 << 3) | 2, 4, .. "loss"u8, (2 << 3) | 5, 0, 0, 0xC0, 0x3F];
        Assert.Equal(expected, events[1][9..(9 + expected.Length)]);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void MasterWeights_MoveWhereBFloat16WouldNot()
    {
        using var scope = NewDisposeScope();
        var parameter = nn.Parameter(ones([4], bfloat16));
        using var optimizer = new MasterAdamW([new("one", [("p", parameter)], 1e-4)]);
        for (int i = 0; i < 100; i++)
        {
            parameter.backward([ones([4], bfloat16)]);
            optimizer.Accumulate();
            optimizer.Step(1);
        }
        // 100 steps of 1e-4; bfloat16 cannot leave 1 by less than 2⁻⁹.
        Assert.Equal(0.99f, optimizer.Masters["p"][0].item<float>(), 1e-4f);
        Assert.Equal(0.9883f, parameter[0].to(float32).item<float>(), 3e-3f);
    }
}
