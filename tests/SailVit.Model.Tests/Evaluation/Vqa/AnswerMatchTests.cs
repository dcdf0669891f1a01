using SailVit.Model.Evaluation.Vqa;
using Xunit;

namespace SailVit.Model.Tests.Evaluation.Vqa;

public sealed class AnswerMatchTests
{
    private static readonly Dictionary<string, string> Animals = new() { ["A"] = "cat", ["B"] = "brown dog", ["C"] = "horse", ["D"] = "a very small bird" };

    [Theory]
    // A letter alone, or with marks.
    [InlineData("B", "B")]
    [InlineData(" B. ", "B")]
    [InlineData("(B)", "B")]
    [InlineData("B: brown dog", "B")]
    [InlineData("**B**", "B")]
    [InlineData("The answer is B", "B")]
    [InlineData("The correct option is (C).", "C")]
    // Two letters say nothing, unless the text of one option stands there.
    [InlineData("A or B", null)]
    [InlineData("A or B: the horse", "C")]
    // A letter before the last four words is not taken for the answer.
    [InlineData("B is what I would say here", null)]
    [InlineData("B is what I say", null)]
    [InlineData("B is what says", "B")]
    // Lower case is no letter of an option.
    [InlineData("b", null)]
    [InlineData("E", null)]
    // The text of one option.
    [InlineData("It is a Brown Dog", "B")]
    [InlineData("a cat and a horse", null)]
    [InlineData("There is certainly a horse in this picture, which stands on a meadow with flowers", null)]
    // None of them.
    [InlineData("Z", "Z")]
    [InlineData("I'm sorry, but without the image provided I cannot say B", "Z")]
    [InlineData("", null)]
    public void Options(string answer, string? expected) => Assert.Equal(expected, AnswerMatch.InferOption(answer, Animals));

    [Theory]
    [InlineData("Yes", "Yes")]
    [InlineData("no.", "No")]
    [InlineData("Yes, the lines are parallel.", "Yes")]
    [InlineData("The answer is;no", "No")]
    [InlineData("The answer is:no", null)]
    [InlineData("yes and no", null)]
    [InlineData("I know nothing", null)]
    [InlineData("", null)]
    public void YesOrNo(string answer, string? expected) => Assert.Equal(expected, AnswerMatch.YesNo(answer));

    [Theory]
    [InlineData("a;b", "a b")]
    [InlineData("a; b", "a b")]
    [InlineData("a, b,c", "a bc")]
    [InlineData("1,000;x", "1000x")]
    [InlineData("3.5 is. it.", "3.5 is it")]
    public void Punctuation(string text, string expected) => Assert.Equal(expected, AnswerMatch.WithoutPunctuation(text));
}
