using SailVit.Model.Evaluation.Vqa;
using Xunit;

namespace SailVit.Model.Tests.Evaluation.Vqa;

public sealed class VqaQuestionTests
{
    private static readonly string Long = new('x', 80);

    private static IReadOnlyList<VqaQuestion> Questions(params string[] lines) => VqaQuestion.ReadAll(new StringReader(string.Join('\n', lines) + "\n"), "set.tsv");

    private static string Prompt(string set, VqaQuestion question) => VqaPrompt.Of(VqaSet.Of(set), question).Text;

    [Fact]
    public void Fields_MayBeQuotedAndMissing()
    {
        var questions = Questions("index\tquestion\tA\tB\tC\thint\tanswer", "1\t\"two\nlines, a\ttab and \"\"quotes\"\"\"\tx\ty\t\tnan\tA", "", "2\tq \"as is\"\tNone\ty\tz\th\tB");
        Assert.Equal(2, questions.Count);
        Assert.Equal("two\nlines, a\ttab and \"quotes\"", questions[0].Question);
        Assert.Equal(["A", "B"], questions[0].Options.Keys);
        Assert.Null(questions[0].Field("hint"));
        Assert.Equal("q \"as is\"", questions[1].Question);
        // pandas takes None for a missing value.
        Assert.Equal(["B", "C"], questions[1].Options.Keys);
    }

    [Fact]
    public void Images_AreInPlaceReferredToOrPaths()
    {
        var questions = Questions("index\tquestion\timage", $"1\tq\t{Long}", "2\tq\t1", $"3\tq\t\"['{Long}', '{Long}y']\"");
        Assert.Equal([1, 1, 2], questions.Select(q => q.Images.Count));
        Assert.Equal(Long, questions[1].Images[0]);
        Assert.False(questions[0].ImagesArePaths);
        var paths = Questions("index\tquestion\timage_path", "1\tq\ta.jpg", "2\tq\t");
        Assert.EndsWith("a.jpg", paths[0].Images[0], StringComparison.Ordinal);
        Assert.True(paths[0].ImagesArePaths && paths[1].Images.Count == 0);
        Assert.Contains("refers to the image of row 9", Assert.Throws<ArgumentException>(() => Questions("index\tquestion\timage", "1\tq\t9")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cut short", "index\tquestion", "1\t\"open")]
    [InlineData("3 fields, the header names 2", "index\tquestion", "1\tq\tmore")]
    [InlineData("no index or no question", "index\tanswer", "1\tA")]
    [InlineData("stands there twice", "index\tquestion", "1\tq", "1\tq")]
    [InlineData("holds no question", "index\tquestion")]
    public void WhatIsNoSet_IsRefused(string mentions, params string[] lines) => Assert.Contains(mentions, Assert.Throws<ArgumentException>(() => Questions(lines)).Message, StringComparison.Ordinal);

    [Fact]
    public void Prompts_AreThoseOfTheHarness()
    {
        var choice = Questions("index\tquestion\thint\tA\tB\timage", $"1\tWhich?\tLook.\tred\tblue\t{Long}")[0];
        Assert.Equal("<image>\nHint: Look.\nQuestion: Which?\nOptions:\nA. red\nB. blue\nPlease select the correct answer from the options above. \n", Prompt("MMBench", choice));
        var plain = Questions("index\tquestion\timage", $"1\tWhat is written?\t{Long}")[0];
        Assert.Equal("<image>\nWhat is written?", Prompt("OCRBench", plain));
        Assert.Equal("<image>\nWhat is written?\nAnswer the question using a single word or phrase.", Prompt("DocVQA", plain));
        Assert.Equal("Question: Why?\n", Prompt("MMStar", Questions("index\tquestion", "1\tWhy?")[0]));
    }

    [Fact]
    public void Mmmu_PutsImagesWhereTheyAreNamed()
    {
        var question = Questions("index\tquestion\tA\tB\timage", $"1\tCompare <image 2> with <image 1>.\t<image 1>\tno\t\"['{Long}', '{Long}']\"")[0];
        var prompt = VqaPrompt.Of(VqaSet.Of("MMMU_DEV_VAL"), question);
        Assert.StartsWith("Question: Compare <image> with <image>.\nOptions:\nA. <image>\n", prompt.Text, StringComparison.Ordinal);
        Assert.Equal([1, 0, 0], prompt.Images);
        var missing = Questions("index\tquestion\timage", $"1\tSee <image 3>.\t{Long}")[0];
        Assert.Contains("names image 3", Assert.Throws<ArgumentException>(() => Prompt("MMMU", missing)).Message, StringComparison.Ordinal);
    }
}
