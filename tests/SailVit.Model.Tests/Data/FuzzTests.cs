using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Multimodal;
using SailVit.Model.Refinement;
using SailVit.Model.Tests.Refinement;
using SailVit.Model.Text;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;

namespace SailVit.Model.Tests.Data;

/// <summary>Damaged input is refused or skipped; it never crashes, hangs or reads what is not there.</summary>
public sealed class FuzzTests : IDisposable
{
    private static readonly int Rounds = int.TryParse(Environment.GetEnvironmentVariable("SAILVIT_FUZZ"), out int rounds) ? rounds : 1000;

    private readonly TempFolder _folder = new();
    private readonly Random _random = new(11);

    public void Dispose() => _folder.Dispose();

    // Bytes changed, removed, doubled, or the end cut off.
    private byte[] Mutate(byte[] whole, int within)
    {
        var bytes = whole.ToList();
        for (int k = _random.Next(1, 6); k > 0 && bytes.Count > 1; k--)
        {
            int at = _random.Next(Math.Min(within, bytes.Count));
            switch (_random.Next(5))
            {
                case 0:
                    bytes[at] = (byte)_random.Next(256);
                    break;
                case 1:
                    bytes[at] = (byte)"{}[]\",:\\0\n"[_random.Next(10)];
                    break;
                case 2:
                    bytes.RemoveRange(at, Math.Min(_random.Next(1, 20), bytes.Count - at));
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(_random.Next(1, 20), bytes.Count - at)));
                    break;
                default:
                    bytes.RemoveRange(Math.Max(at, 1), bytes.Count - Math.Max(at, 1));
                    break;
            }
        }
        return [.. bytes];
    }

    private static void Survives(Func<ISampleSource> open)
    {
        try
        {
            using var source = open();
            for (int i = 0; i < source.Count; i++)
            {
                try
                {
                    foreach (var image in source.Read(i).Images)
                    {
                        _ = image.Read();
                    }
                }
                catch (SampleException)
                {
                }
            }
        }
        catch (DatasetException)
        {
        }
    }

    [Fact]
    public void JsonLines()
    {
        byte[] whole = Bytes("""{"id": 1, "image": ["a.jpg", "b.jpg"], "conversations": [{"from": "system", "value": "x"}, {"from": "human", "value": "<image><image>\né\u00e9"}, {"from": "gpt", "value": "y"}]}""" + "\n" + Line(2, 3) + "\n");
        for (int i = 0; i < Rounds; i++)
        {
            string path = _folder.Write("fuzz.jsonl", Mutate(whole, whole.Length));
            Survives(() => new JsonlSource(path));
        }
    }

    [Fact]
    public void TarHeaders()
    {
        byte[] whole = Tar(("a/1.jpg", Jpeg(8, 8)), ("a/1.json", Bytes("""{"caption": "A long name follows."}""")), ($"{new string('n', 180)}.txt", Bytes("x")));
        for (int i = 0; i < Rounds; i++)
        {
            string path = _folder.Write("fuzz.tar", Mutate(whole, whole.Length));
            Survives(() => new TarSource("fuzz", [path]));
        }
    }

    [Fact]
    public async Task ParquetFiles()
    {
        byte[] whole = await ParquetSourceTests.Bytes(
            new ParquetSourceTests.Caption { image = Jpeg(8, 8), caption = "A circle." }, new ParquetSourceTests.Caption { image = Jpeg(4, 4), caption = "A square." });
        for (int i = 0; i < Rounds; i++)
        {
            // The footer says what is where; half of the rounds change it alone.
            byte[] bytes = Mutate(whole, whole.Length);
            if (i % 2 == 0)
            {
                bytes = [.. whole];
                for (int k = _random.Next(1, 5); k > 0; k--)
                {
                    bytes[^_random.Next(1, 600)] = (byte)_random.Next(256);
                }
            }
            string path = _folder.Write("fuzz.parquet", bytes);
            Survives(() => new ParquetSource("fuzz", [path]));
        }
    }

    [Fact]
    public void Configs()
    {
        byte[] whole = File.ReadAllBytes(TestData.Golden("sailvl_qwen3_small", "config.json"));
        for (int i = 0; i < Rounds; i++)
        {
            string path = _folder.Write("config.json", i % 2 == 0 ? Mutate(whole, whole.Length) : Numbers(whole));
            try
            {
                MultimodalConfigFile.Read(path);
            }
            catch (CheckpointException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }

    [Fact]
    public void Recipes()
    {
        byte[] whole = Bytes(ToyRecipe.Text(target: ToyRecipe.Target, defaults: "precision: float32\nadalrs: { window: 2, alpha: 3, beta: 2 }\nema: 0.9"));
        for (int i = 0; i < Rounds; i++)
        {
            byte[] bytes = i % 2 == 0 ? Mutate(whole, whole.Length) : Numbers(whole);
            try
            {
                ToyRecipe.Read(System.Text.Encoding.UTF8.GetString(bytes));
            }
            catch (RecipeException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }

    // One of the numbers is another one.
    private byte[] Numbers(byte[] whole)
    {
        string text = System.Text.Encoding.UTF8.GetString(whole);
        var numbers = System.Text.RegularExpressions.Regex.Matches(text, @"\d[\d.e-]*");
        var number = numbers[_random.Next(numbers.Count)];
        string[] others = ["0", "-1", "1", "3", "1e9", "2147483648", "9223372036854775807", "1e308", "-0.5", "NaN", "null", "[]", "\"8\"", "1e-300", "65536"];
        return Bytes(string.Concat(text.AsSpan(0, number.Index), others[_random.Next(others.Length)], text.AsSpan(number.Index + number.Length)));
    }

    [Fact]
    public void TokenizerFiles()
    {
        using var small = new TempFolder();
        TokenizerTrainer.Train(["a small red circle"], 270, ["<|im_end|>", "<img>"], small.Path);
        byte[] whole = File.ReadAllBytes(small.File("tokenizer.json"));
        for (int i = 0; i < Rounds; i++)
        {
            // The vocabulary is most of the file; what surrounds it is more interesting.
            _folder.Write("tokenizer.json", Mutate(whole, i % 2 == 0 ? 900 : whole.Length));
            _folder.Write("tokenizer_config.json", Mutate(File.ReadAllBytes(small.File("tokenizer_config.json")), i % 3 == 0 ? int.MaxValue : 1));
            try
            {
                var tokenizer = Tokenizers.Load(_folder.Path);
                _ = tokenizer.Decode(tokenizer.Encode("A small <img> red\n circle 🙂"));
            }
            catch (CheckpointException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }
}
