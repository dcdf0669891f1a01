using System.Text.Json;
using SailVit.Model.Text;
using Xunit;

namespace SailVit.Model.Tests.Text;

public sealed class CompositionTests
{
    // Random marks, letters and Hangul, composed by another implementation (CPython's unicodedata 14).
    [Fact]
    public void RandomTextsAreComposedAlike()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(TestData.Root, "tokenizer", "composition.json")));
        Assert.Equal(400, json.RootElement.GetArrayLength());
        foreach (var row in json.RootElement.EnumerateArray())
        {
            Assert.Equal(row[1].GetString(), Composition.Compose(row[0].GetString()!));
        }
    }

    // The examples of Unicode Standard Annex 15, and Hangul.
    [Theory]
    [InlineData("plain ASCII, é and 图", "plain ASCII, é and 图")]
    [InlineData("e\u0301", "\u00e9")]
    [InlineData("\u212b", "\u00c5")]
    [InlineData("\u1e0b\u0323", "\u1e0d\u0307")]
    [InlineData("q\u0307\u0323", "q\u0323\u0307")]
    [InlineData("\u0958", "\u0915\u093c")]
    [InlineData("\ufb2c", "\u05e9\u05bc\u05c1")]
    [InlineData("\u1112\u1161\u11ab", "\ud55c")]
    [InlineData("\uac00\u11a8", "\uac01")]
    [InlineData("\u0301a", "\u0301a")]
    [InlineData("a\u0327\u0301\u0301", "\u00e1\u0327\u0301")]
    [InlineData("\U0001d15e", "\U0001d157\U0001d165")]
    public void TextIsComposed(string text, string expected)
    {
        Assert.Equal(expected, Composition.Compose(text));
        Assert.Equal(expected, Composition.Compose(expected));
    }
}
