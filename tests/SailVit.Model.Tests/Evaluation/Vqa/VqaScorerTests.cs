using SailVit.Model.Evaluation.Vqa;
using Xunit;

namespace SailVit.Model.Tests.Evaluation.Vqa;

public sealed class VqaScorerTests
{
    private static IReadOnlyList<VqaQuestion> Questions(params string[] lines) => VqaQuestion.ReadAll(new StringReader(string.Join('\n', lines)), "set.tsv");

    private static VqaReport Score(string set, IReadOnlyList<VqaQuestion> questions, string[] answers, params (string Index, string Said)[] judge) =>
        VqaScorer.Score(VqaSet.Of(set), questions, questions.Zip(answers).ToDictionary(a => a.First.Index, a => a.Second), judge.Length == 0 ? null : judge.ToDictionary(j => j.Index, j => j.Said));

    [Fact]
    public void Choice_ByCategory()
    {
        var questions = Questions("index\tquestion\tA\tB\tanswer\tcategory", "1\tq\tred\tblue\tB\tcolour", "2\tq\tone\ttwo\tA\tcount", "3\tq\tred\tgreen\tA\tcolour");
        var report = Score("MMStar", questions, ["B", "two", "hard to say"]);
        Assert.Equal(100 / 3.0, report.Score, 1e-9);
        Assert.Equal((50.0, 0.0), (report.Metrics["category: colour"], report.Metrics["category: count"]));
        Assert.Equal(["B", "B", null], report.Verdicts.Select(v => v.Said));
        Assert.Equal(1, report.Unclear);
        // A judge is asked where no rule can tell, and only there.
        Assert.Equal(200 / 3.0, Score("MMStar", questions, ["B", "two", "hard to say"], ("3", "A"), ("2", "A")).Score, 1e-9);
    }

    [Fact]
    public void Circular_IsRightOnlyInEveryOrder()
    {
        var questions = Questions("index\tquestion\tA\tB\tanswer", "7\tq\tred\tblue\tA", "1000007\tq\tblue\tred\tB", "8\tq\tone\ttwo\tB", "1000008\tq\ttwo\tone\tA");
        Assert.Equal(100, Score("MMBench_DEV_EN_V11", questions, ["A", "B", "two", "two"]).Score);
        var half = Score("MMBench_DEV_EN_V11", questions, ["A", "A", "B", "A"]);
        Assert.Equal(50, half.Score);
        Assert.Equal(["7", "8"], half.Verdicts.Select(v => v.Index));
        // The same answers question by question.
        Assert.Equal(75, Score("AI2D_TEST", questions, ["A", "A", "B", "A"]).Score);
        // One order unclear and the other right is unclear; one wrong is wrong.
        Assert.Equal(1, Score("MMBench", questions, ["A", "?", "A", "?"]).Unclear);
    }

    [Fact]
    public void Mmmu_OpenQuestionsAndTheValidationSplit()
    {
        var questions = Questions("index\tquestion\tA\tB\tanswer\tsplit", "v1\tq\tred\tblue\tB\tvalidation", "v2\tq\t\t\t24/7\tvalidation", "d1\tq\tone\ttwo\tA\tdev");
        var report = Score("MMMU_DEV_VAL", questions, ["B", "it is 24/7", "B"]);
        Assert.Equal(100, report.Score);
        Assert.Equal(200 / 3.0, report.Metrics["overall"], 1e-9);
        Assert.Equal(50, Score("MMMU_DEV_VAL", questions, ["B", "Other answers", "A"]).Score);
    }

    [Fact]
    public void Hallusion_ByAnswerFigureAndQuestion()
    {
        // Two figures, two questions each; one of the four answers is wrong.
        var questions = Questions("index\tquestion\tanswer\tcategory\tl2-category", "VD_a_x_0_1_0\tq\tYes\tVD\tchart", "VD_a_x_0_1_1\tq\tNo\tVD\tchart", "VD_a_x_0_2_0\tq\tYes\tVD\tchart", "VD_a_x_0_2_1\tq\tNo\tVD\tchart");
        var report = Score("HallusionBench", questions, ["Yes", "No, it is not.", "Yes.", "yes"]);
        Assert.Equal((75.0, 50.0, 50.0), (report.Metrics["overall aAcc"], report.Metrics["overall fAcc"], report.Metrics["overall qAcc"]));
        Assert.Equal((75 + 50 + 50) / 3.0, report.Score, 1e-9);
        Assert.Equal(75, report.Metrics["l2-category: chart aAcc"]);
        Assert.Equal(100, Score("HallusionBench", questions, ["Yes", "No", "Yes", "unsure"], ("VD_a_x_0_2_1", "No")).Score);
        Assert.Contains("_set_figure_question", Assert.Throws<ArgumentException>(() => Score("HallusionBench", Questions("index\tquestion\tanswer", "1\tq\tYes"), ["Yes"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OcrBench_IsFrom0To100()
    {
        var questions = Questions("index\tquestion\tanswer\tcategory", "1\tq\t['STOP', 'HALT']\tRegular Text Recognition", "2\tq\t['42']\tDigit String Recognition");
        Assert.Equal(50, Score("OCRBench", questions, ["It reads: halt", "43"]).Score);
    }

    [Fact]
    public void MathVista_OptionsNumbersAndTheJudge()
    {
        const string Header = "index\tquestion\tanswer\tanswer_option\tquestion_type\tanswer_type\tchoices\ttask";
        var questions = Questions(Header, "1\tq\t8/11\tB\tmulti_choice\ttext\t['3/11', '8/11']\tgeometry", "2\tq\t14\t\tfree_form\tinteger\t\tcounting", "3\tq\t0.6\t\tfree_form\tfloat\t\tcounting", "4\tq\t[2007, 2008]\t\tfree_form\tlist\t\tcharts");
        Assert.Equal(100, Score("MathVista_MINI", questions, ["B", " 14 ", "0.60", "[2007, 2008]"]).Score);
        var words = Score("MathVista_MINI", questions, ["(B) 8/11", "The number missing is 14.", "six tenths", "2007"]);
        Assert.Equal(25, words.Score);
        Assert.Equal(2, words.Unclear);
        Assert.Equal(100, words.Metrics["task: geometry"]);
        Assert.Equal(75, Score("MathVista_MINI", questions, ["(B) 8/11", "The number missing is 14.", "six tenths", "2007"], ("2", "14"), ("3", "0.6"), ("1", "A")).Score);
        Assert.Equal(0, Score("MathVista_MINI", questions, ["A", "14.0", "0.61", "2008"]).Score);
    }

    [Fact]
    public void MmVet_IsTheMeanOfAJudgesMarks()
    {
        var questions = Questions("index\tquestion\tanswer\tcategory", "1\tq\ta\tocr,math", "2\tq\tb\trec", "3\tq\tc\trec");
        var report = Score("MMVet", questions, ["x", "y", "z"], ("1", "0.5"), ("2", "1.0"), ("3", "7"));
        Assert.Equal(50, report.Score);
        Assert.Equal((50.0, 50.0), (report.Metrics["capability: math"], report.Metrics["capability: rec"]));
        Assert.Equal(1, report.Unclear);
        Assert.Contains("speaks of question 4, which the set does not have", Assert.Throws<ArgumentException>(() => Score("MMVet", questions, ["x", "y", "z"], ("4", "1"))).Message, StringComparison.Ordinal);
        Assert.Contains("--judge", Assert.Throws<ArgumentException>(() => Score("MMVet", questions, ["x", "y", "z"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DocVqa_IsAnls() => Assert.Equal(50, Score("DocVQA_VAL", Questions("index\tquestion\tanswer", "1\tq\t['Paris', 'paris, france']", "2\tq\tRome"), ["PARIS", "Athens"]).Score);

    [Fact]
    public void Average_NeedsAllEight()
    {
        var scores = VqaSet.OpenCompass.Select((f, i) => (f, 10.0 * i)).ToList();
        Assert.Equal(35, VqaSet.Average(scores));
        Assert.Equal(35 + (40 / 16.0), VqaSet.Average([.. scores, ("MMBench", 40)])!.Value, 1e-9);
        Assert.Null(VqaSet.Average(scores.Skip(1)));
        // The report's own row of SAIL-VL2-2B.
        double[] row = [86.77, 64.07, 47.67, 71.10, 51.74, 83.00, 89.50, 68.67];
        Assert.Equal(70.31, VqaSet.Average(VqaSet.OpenCompass.Zip(row, (f, s) => (f, s)))!.Value, 6e-3);
    }

    [Fact]
    public void WhatCannotBeScored_IsNamed()
    {
        Assert.Contains("no such set", Assert.Throws<ArgumentException>(() => VqaSet.Of("Riddles")).Message, StringComparison.Ordinal);
        Assert.Equal(VqaRule.CircularChoice, VqaSet.Of("MMBench_TEST_CN_V11").Rule);
        Assert.Equal("MMVet", VqaSet.Of("MM-Vet").Family);
        var questions = Questions("index\tquestion\tanswer\tA\tB", "1\tq\tA\tx\ty");
        Assert.Contains("1 of 1 questions have no answer: 1", Assert.Throws<ArgumentException>(() => VqaScorer.Score(VqaSet.Of("MMStar"), questions, new Dictionary<string, string>())).Message, StringComparison.Ordinal);
    }
}
