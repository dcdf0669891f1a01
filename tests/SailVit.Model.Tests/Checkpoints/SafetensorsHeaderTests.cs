using System.Text;
using SailVit.Model.Checkpoints;
using Xunit;
using static SailVit.Model.Tests.Checkpoints.SafetensorsBytes;

namespace SailVit.Model.Tests.Checkpoints;

public sealed class SafetensorsHeaderTests : IDisposable
{
    private const int Seed = 20261123;

    private readonly TempFolder _folder = new();

    /// <summary>Tensors of a header with 12 bytes of data, and a word of the message.</summary>
    public static TheoryData<string, string> Malformed => new()
    {
        { "", "not valid JSON" },
        { "[]", "JSON object" },
        { "null", "JSON object" },
        { "{\"a\":", "not valid JSON" },
        { "{\"a\":1}", "'a'" },
        { "{\"a\":{}}", "must have dtype" },
        { "{\"__metadata__\":{\"x\":1}}", "__metadata__" },
        { "{\"__metadata__\":[]}", "__metadata__" },
        { One("\"F33\"", "[3]", "[0,12]"), "F33" },
        { One("7", "[3]", "[0,12]"), "must have dtype" },
        { One("\"F32\"", "3", "[0,12]"), "shape" },
        { One("\"F32\"", "[-3]", "[0,12]"), "whole numbers from 0" },
        { One("\"F32\"", "[3.5]", "[0,12]"), "whole numbers from 0" },
        { One("\"F32\"", "[99999999999999999999]", "[0,12]"), "whole numbers from 0" },
        { One("\"F32\"", "[4294967296,4294967296]", "[0,12]"), "too large" },
        { One("\"F32\"", "[9223372036854775807]", "[0,12]"), "too large" },
        { One("\"F32\"", $"[{string.Join(',', Enumerable.Repeat(1, 65))}]", "[0,4]"), "too large" },
        { One("\"F32\"", "[3]", "[0]"), "data_offsets" },
        { One("\"F32\"", "[3]", "[12,0]"), "in order" },
        { One("\"F32\"", "[3]", "[-12,0]"), "whole numbers from 0" },
        { One("\"F32\"", "[4]", "[0,16]"), "within the 12 bytes" },
        { One("\"F32\"", "[3]", "[9223372036854775795,9223372036854775807]"), "within the 12 bytes" },
        { One("\"F32\"", "[2]", "[0,12]"), "needs 8 bytes" },
        { One("\"F32\"", "[2]", "[0,8]"), "cover 8 of 12" },
        { One("\"F32\"", "[2]", "[4,12]"), "holes" },
        { Two("[0,8]", "[4,12]"), "overlap" },
        { Two("[0,8]", "[0,8]"), "overlap" },
        { "{" + Entry("\"a\"") + "," + Entry("\"a\"") + "}", "not valid JSON" },
        { "{" + Entry("\"\\ud800\"") + "}", "Unicode" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Malformed))]
    public void AMalformedHeaderIsOneClearError(string header, string mentions)
    {
        string path = _folder.Write("bad.safetensors", File(header, 12));
        var error = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));
        Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(mentions, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(13L)]
    [InlineData(long.MaxValue)]
    [InlineData(-1L)]
    [InlineData(long.MinValue)]
    public void AHeaderLongerThanTheFileIsOneClearError(long claimed) =>
        Assert.Contains("header claims", Throws(File("{}", 10, claimed)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void AFileWithoutALengthIsOneClearError(int bytes) =>
        Assert.Contains("8-byte header length", Throws(new byte[bytes]).Message, StringComparison.Ordinal);

    [Fact]
    public void AHeaderThatIsNoTextIsOneClearError() =>
        Assert.Contains("UTF-8", Throws(File([(byte)'{', 0xff, 0xfe, (byte)'}'], 0)).Message, StringComparison.Ordinal);

    [Fact]
    public void TenThousandRandomAndMutatedFilesNeverCrashTheReader()
    {
        var random = new Random(Seed);
        byte[][] valid = [File("{" + Entry("\"a\"") + "}", 12), File(Two("[0,8]", "[8,16]"), 16), File(One("\"BF16\"", "[2,3]", "[0,12]"), 12)];
        int opened = 0;
        for (int i = 0; i < 10_000; i++)
        {
            byte[] file = i % 4 == 0 ? Random(random) : Mutate(valid[random.Next(valid.Length)], random);
            try
            {
                opened += OpenAndReadAll(_folder.Write("fuzz.safetensors", file));
            }
            catch (Exception e) when (e is not CheckpointException)
            {
                Assert.Fail($"Case {i} of seed {Seed}: {e.GetType().Name}: {e.Message}. File: {Convert.ToBase64String(file)}");
            }
        }
        // Some mutations leave a valid file; if none did, the fuzzer would not reach past the first checks.
        Assert.InRange(opened, 1, 9_999);
    }

    private static int OpenAndReadAll(string path)
    {
        try
        {
            using var file = SafetensorsFile.Open(path);
            foreach (string name in file.Tensors.Keys)
            {
                using var tensor = file.Read(name);
            }
            return 1;
        }
        catch (CheckpointException)
        {
            return 0;
        }
    }

    private static byte[] Random(Random random)
    {
        byte[] header = new byte[random.Next(200)];
        random.NextBytes(header);
        if (random.Next(2) == 0)
        {
            // Valid JSON tokens in a random order reach deeper than random bytes.
            string[] tokens = ["{", "}", "[", "]", ":", ",", "\"a\"", "\"dtype\"", "\"F32\"", "\"shape\"", "\"data_offsets\"", "0", "12", "-1", "1e99", "9223372036854775807", "null", "\"__metadata__\""];
            header = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, random.Next(40)).Select(_ => tokens[random.Next(tokens.Length)])));
        }
        return File(header, random.Next(32), random.Next(4) == 0 ? random.NextInt64(long.MinValue, long.MaxValue) : header.Length);
    }

    private static byte[] Mutate(byte[] valid, Random random)
    {
        var file = valid.ToList();
        for (int n = random.Next(1, 5); n > 0; n--)
        {
            int at = random.Next(file.Count);
            switch (random.Next(5))
            {
                case 0: file[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: file[at] = (byte)random.Next(256); break;
                case 2: file.RemoveRange(at, Math.Min(random.Next(1, 20), file.Count - at)); break;
                case 3: file.InsertRange(at, file.GetRange(at, Math.Min(random.Next(1, 20), file.Count - at))); break;
                default: file[at] = (byte)('0' + random.Next(10)); break;
            }
            if (file.Count == 0)
            {
                break;
            }
        }
        return [.. file];
    }

    private CheckpointException Throws(byte[] content)
    {
        string path = _folder.Write("bad.safetensors", content);
        return Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));
    }

    private static string Entry(string name) => Tensor(name, "\"F32\"", "[3]", "[0,12]");

    private static string One(string dtype, string shape, string offsets) => "{" + Tensor("\"a\"", dtype, shape, offsets) + "}";

    private static string Two(string first, string second) =>
        "{" + Tensor("\"a\"", "\"F32\"", "[2]", first) + "," + Tensor("\"b\"", "\"F32\"", "[2]", second) + "}";
}
