using SailVit.Model.Evaluation.Vqa;
using Xunit;

namespace SailVit.Model.Tests.Evaluation.Vqa;

public sealed class TextScoresTests
{
    [Theory]
    [InlineData("kitten", "sitting", 1 - (3 / 7.0))]
    [InlineData("flaw", "lawn", 0.5)]
    [InlineData("Hello   World", "hello world", 1)]
    [InlineData("abc", "xyz", 0)]
    // Below one half nothing counts.
    [InlineData("abcde", "abxyz", 0)]
    // Spaces are no difference, but length.
    [InlineData("ab  cd", "ab ce", 1 - (1 / 6.0))]
    [InlineData("", "", 1)]
    [InlineData("", "a", 0)]
    public void Anls(string answer, string accepted, double expected)
    {
        Assert.Equal(expected, TextScores.Anls(answer, [accepted]), 1e-12);
        Assert.Equal(expected, TextScores.Anls(accepted, [answer]), 1e-12);
    }

    [Fact]
    public void Anls_TakesTheNearestOfSeveral()
    {
        Assert.Equal(1, TextScores.Anls("b", ["a", "b"]));
        Assert.Equal(0, TextScores.Anls("b", []));
    }

    [Theory]
    [InlineData("The sign says STOP here", "stop", null, 1)]
    [InlineData("go", "stop", null, 0)]
    [InlineData("two\nlines", "two lines", null, 1)]
    [InlineData("x ^ 2 + y", "x^2+y", "Handwritten Mathematical Expression Recognition", 1)]
    [InlineData("X^2", "x^2", "Handwritten Mathematical Expression Recognition", 0)]
    [InlineData("x ^ 2", "x^2", "Doc-oriented VQA", 0)]
    public void Substring(string answer, string accepted, string? category, double expected) => Assert.Equal(expected, TextScores.Substring(answer, ["nothing", accepted], category));

    [Theory]
    [InlineData("104", "100", 1)]
    [InlineData("106", "100", 0)]
    [InlineData("95", "100", 1)]
    [InlineData("0.12", "12%", 1)]
    [InlineData("Blue", "blue", 1)]
    [InlineData("0", "0", 1)]
    [InlineData("blue", "100", 0)]
    public void Relaxed(string answer, string accepted, double expected) => Assert.Equal(expected, TextScores.Relaxed(answer, [accepted]));

    [Theory]
    [InlineData(" Paris ", "paris", 1)]
    [InlineData("Paris, France", "paris", 0)]
    public void Exact(string answer, string accepted, double expected) => Assert.Equal(expected, TextScores.Exact(answer, [accepted]));

    [Theory]
    [InlineData("['a', \"b's\"]", "a|b's")]
    [InlineData("[1, 2.5]", "1|2.5")]
    [InlineData("[]", "")]
    [InlineData("['it\\'s', 'a\\nb', '\\u00e9']", "it's|a\nb|é")]
    [InlineData("plain, text", "plain, text")]
    [InlineData("[broken", "[broken")]
    [InlineData("['open]", "['open]")]
    public void Lists(string text, string expected) => Assert.Equal(expected, string.Join('|', PythonList.Parse(text)));
}
