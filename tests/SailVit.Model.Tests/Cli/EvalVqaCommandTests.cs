using System.Text.Json;
using Xunit;

namespace SailVit.Model.Tests.Cli;

public sealed class EvalVqaCommandTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Set(string name) => _folder.Write(name, "index\tquestion\tA\tB\tanswer\n1\tq\tred\tblue\tB\n2\tq\tone\ttwo\tA\n");

    private static void Fails(string mentions, params string[] args)
    {
        var (exit, _, error) = Sailvit.Run(["eval", "vqa", .. args]);
        Assert.Equal(1, exit);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("sailvit: ", line, StringComparison.Ordinal);
        Assert.Contains(mentions, line, StringComparison.Ordinal);
        Assert.DoesNotContain("unexpected ", line, StringComparison.Ordinal);
    }

    [Fact]
    public void AnswersOfAFile_AreScored()
    {
        string star = Set("MMStar.tsv"), vet = _folder.Write("mine.tsv", "index\tquestion\tanswer\tcategory\n7\tq\ta\tocr\n"), json = _folder.File("out.json");
        string answers = _folder.Write("a.jsonl", "{\"index\": 1, \"answer\": \"(B)\"}\n\n{\"index\": \"2\", \"prediction\": \"two\"}\n");
        string said = _folder.Write("b.jsonl", "{\"index\": 7, \"answer\": \"something\"}\n"), marks = _folder.Write("c.jsonl", "{\"index\": 7, \"score\": 0.4}\n");
        var (exit, table, error) = Sailvit.Run("eval", "vqa", "--data", star, vet, "--set", "MMStar", "MMVet", "--answers", answers, said, "--judge", "-", marks, "--json", json);
        Assert.True(exit == 0, error);
        Assert.Contains("50.00", table, StringComparison.Ordinal);
        var results = JsonDocument.Parse(File.ReadAllText(json)).RootElement;
        Assert.Equal([50.0, 40.0], results.GetProperty("sets").EnumerateArray().Select(s => s.GetProperty("score").GetDouble()));
        Assert.Equal(JsonValueKind.Null, results.GetProperty("open_compass_average").ValueKind);
    }

    [Fact]
    public void AModel_AnswersAndGoesOn()
    {
        string model = Model(), output = _folder.File("answers"), log = Path.Combine(output, "AI2D_TEST.answers.jsonl"), json = _folder.File("out.json");
        string image = Convert.ToBase64String(File.ReadAllBytes(TestData.Image("coffee.png")));
        string set = _folder.Write("AI2D_TEST.tsv", $"index\timage\tquestion\tA\tB\tanswer\n1\t{image}\tq\tred\tblue\tB\n2\t1\tq\tone\ttwo\tA\n3\t1\tr\tone\ttwo\tA\n");
        string[] args = ["eval", "vqa", "--weights", model, "--data", set, "--output", output, "--json", json, "--max-new-tokens", "5", "--max-tiles", "2", "--batch-size", "2"];
        var (exit, _, error) = Sailvit.Run(args);
        Assert.True(exit == 0, error);
        string all = File.ReadAllText(log), results = File.ReadAllText(json);
        string[] lines = all.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(4, lines.Length);
        // Another build of the program goes on with them.
        Assert.DoesNotContain(typeof(SailVit.Model.Checkpoints.Files).Module.ModuleVersionId.ToString(), lines[0], StringComparison.Ordinal);
        Assert.StartsWith("<image>\nQuestion: q\nOptions:\nA. red", JsonDocument.Parse(lines[1]).RootElement.GetProperty("prompt").GetString(), StringComparison.Ordinal);

        // So does the same file of questions, got once more.
        File.SetLastWriteTimeUtc(set, DateTime.UtcNow.AddDays(-1));
        // Killed while it wrote the last answers: half a line and a whole one are gone, and only those are made again.
        File.WriteAllText(log, string.Join('\n', lines[..3]) + "\n" + lines[3][..10]);
        (exit, _, error) = Sailvit.Run(args);
        Assert.True(exit == 0, error);
        Assert.Equal(all, File.ReadAllText(log));
        Assert.Equal(results, File.ReadAllText(json));
        // Its answers can be scored by themselves.
        (exit, _, error) = Sailvit.Run("eval", "vqa", "--data", set, "--answers", log, "--json", json);
        Assert.True(exit == 0, error);
        Assert.Equal(results, File.ReadAllText(json));
        Fails("of other weights, questions or options", ["--weights", model, "--data", set, "--output", output, "--max-new-tokens", "6"]);
        File.WriteAllText(log, "of something else");
        Fails("of other weights, questions or options", args[2..]);
        Assert.Equal("of something else", File.ReadAllText(log));
        Fails("give them with --answers, or a model", "--data", set);
        Fails("is no base64", "--weights", model, "--data", _folder.Write("AI2D_BAD.tsv", $"index\timage\tquestion\n1\t{new string('!', 99)}\tq\n"), "--output", output, "--max-new-tokens", "5");
    }

    [Fact]
    public void Interrupted_KeepsTheAnswersAndGoesOn()
    {
        const int SigTerm = 15;
        string model = Model(), set = _folder.Write("MMStar.tsv", "index\tquestion\tA\tB\tanswer\n" + string.Concat(Enumerable.Range(0, 60).Select(i => $"{i}\tq{i}\tred\tblue\tB\n")));
        string[] Args(string output) => ["eval", "vqa", "--weights", model, "--data", set, "--output", _folder.File(output), "--max-new-tokens", "60"];
        string Log(string output) => Path.Combine(_folder.File(output), "MMStar.answers.jsonl");
        if (Sailvit.Kill(SigTerm, Log("some"), Args("some")) is { } killed)
        {
            Assert.Equal(130, killed.Exit);
            Assert.Contains("answers are kept in", killed.Error, StringComparison.Ordinal);
            Assert.InRange(File.ReadLines(Log("some")).Count(), 1, 60);
        }
        Assert.Equal(0, Sailvit.Run(Args("some")).Exit);
        Assert.Equal(0, Sailvit.Run(Args("all")).Exit);
        Assert.Equal(File.ReadAllText(Log("all")), File.ReadAllText(Log("some")));
    }

    private string Model()
    {
        string folder = _folder.File("model");
        Directory.CreateDirectory(folder);
        foreach (string file in (string[])[.. Directory.GetFiles(TestData.Golden("sailvl_qwen3_small")), .. Directory.GetFiles(Path.Combine(TestData.Root, "tokenizer"), "tokenizer*")])
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }
        return folder;
    }

    [Fact]
    public void BadInput_IsOneLine()
    {
        string star = Set("MMStar.tsv"), good = _folder.Write("good.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n{\"index\": 2, \"answer\": \"B\"}\n");
        Fails("no such file", "--data", _folder.File("MMStar_none.tsv"), "--answers", good);
        Fails("no such set", "--data", Set("riddles.tsv"), "--answers", good);
        Fails("names the column index twice", "--data", _folder.Write("MMStar_2.tsv", "index\tindex\tquestion\n1\t2\tq\n"), "--answers", good);
        Fails("is an input as well", "--data", star, "--answers", good, "--json", good);
        Fails("there is no folder", "--data", star, "--answers", good, "--json", _folder.File("none/out.json"));
        Fails("is given 1 times and --data 2", "--data", star, Set("AI2D_TEST.tsv"), "--answers", good);
        Fails("line 2 is no JSON object", "--data", star, "--answers", _folder.Write("bad.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n{\"index\": \n"));
        Fails("1 of 2 questions have no answer: 2", "--data", star, "--answers", _folder.Write("few.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n"));
        Fails("marked by a judge", "--data", star, "--set", "MMVet", "--answers", good);
    }
}
