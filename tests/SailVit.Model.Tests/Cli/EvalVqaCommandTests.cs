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
    public void BadInput_IsOneLine()
    {
        string star = Set("MMStar.tsv"), good = _folder.Write("good.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n{\"index\": 2, \"answer\": \"B\"}\n");
        Fails("no such file", "--data", _folder.File("MMStar_none.tsv"), "--answers", good);
        Fails("no such set", "--data", Set("riddles.tsv"), "--answers", good);
        Fails("is given 1 times and --data 2", "--data", star, Set("AI2D_TEST.tsv"), "--answers", good);
        Fails("line 2 is no JSON object", "--data", star, "--answers", _folder.Write("bad.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n{\"index\": \n"));
        Fails("1 of 2 questions have no answer: 2", "--data", star, "--answers", _folder.Write("few.jsonl", "{\"index\": 1, \"answer\": \"B\"}\n"));
        Fails("no answers to score", "--data", star);
        Fails("marked by a judge", "--data", star, "--set", "MMVet", "--answers", good);
    }
}
