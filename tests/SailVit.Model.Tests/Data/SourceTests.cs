using SailVit.Model.Data;
using SailVit.Model.Text;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;

namespace SailVit.Model.Tests.Data;

public sealed class SourceTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private SkipReason Reason(string line)
    {
        using var source = new JsonlSource(_folder.Write("one.jsonl", line));
        return Assert.Throws<SampleException>(() => source.Read(0)).Reason;
    }

    [Fact]
    public void LinesAreFoundWhereverTheyEnd()
    {
        // A byte-order mark, Windows line ends, blank lines, no end at the end, and a line longer than the scanner's buffer.
        string text = "\uFEFF" + Line(0, 3) + "\r\n\n   \n" + Line(1, 400_000, null) + "\n" + Line(2, 1);
        using var source = new JsonlSource(_folder.Write("data.jsonl", Bytes(text)));
        Assert.Equal(3, source.Count);
        Assert.Equal("<image>\nWhat is 0?", source.Read(0).Messages[0].Content);
        Assert.True(source.Read(1).Messages[1].Content.Length > 1_000_000);
        Assert.Equal("It is red 2.", source.Read(2).Messages[1].Content);
        Assert.Contains("id 2", source.Read(2).Id);
    }

    [Fact]
    public void SeveralImagesSystemTurnsAndOtherFormsAreRead()
    {
        _folder.Write("a.jpg", Jpeg(4, 4));
        using var source = new JsonlSource(_folder.Write("data.jsonl", string.Join('\n',
            """{"image": ["a.jpg", "a.jpg"], "width": [4, 4], "height": [4, 4], "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "<image> <image>"}, {"from": "gpt", "value": "Two."}]}""",
            """{"images": ["a.jpg"], "messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A."}]}""",
            """{"image": "", "conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}, {"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "Yes"}]}""")));
        var several = source.Read(0);
        Assert.Equal([ChatMessage.System, ChatMessage.User, ChatMessage.Assistant], several.Messages.Select(m => m.Role));
        Assert.Equal(2, several.Images.Count);
        Assert.Equal(Jpeg(4, 4), several.Images[1].Read());
        // A lone image without a place comes first.
        Assert.Equal("<image>\nWhat?", source.Read(1).Messages[0].Content);
        Assert.Empty(source.Read(2).Images);
    }

    [Theory]
    [InlineData("{", SkipReason.Malformed)]
    [InlineData("[1]", SkipReason.Malformed)]
    [InlineData("""{"id": 1}""", SkipReason.Malformed)]
    [InlineData("""{"conversations": {}}""", SkipReason.Malformed)]
    [InlineData("""{"conversations": [{"from": "robot", "value": ""}]}""", SkipReason.Malformed)]
    [InlineData("""{"conversations": [{"from": "human"}]}""", SkipReason.Malformed)]
    [InlineData("""{"conversations": [{"from": "human", "value": "\ud800"}]}""", SkipReason.Malformed)]
    [InlineData("""{"image": 5, "conversations": []}""", SkipReason.Malformed)]
    [InlineData("""{"conversations": []}""", SkipReason.NoAnswer)]
    [InlineData("""{"conversations": [{"from": "human", "value": "x"}]}""", SkipReason.NoAnswer)]
    [InlineData("""{"conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "x"}]}""", SkipReason.NoAnswer)]
    [InlineData("""{"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "  "}]}""", SkipReason.NoAnswer)]
    [InlineData("""{"image": ["a", "b"], "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]}""", SkipReason.ImageCount)]
    [InlineData("""{"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]}""", SkipReason.ImageCount)]
    [InlineData("""{"image": "../a.jpg", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "x"}]}""", SkipReason.MissingImage)]
    [InlineData("""{"image": "/etc/hostname", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "x"}]}""", SkipReason.MissingImage)]
    [InlineData("""{"image": "a\u0000b", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "x"}]}""", SkipReason.MissingImage)]
    public void AnUnusableLineSaysWhy(string line, SkipReason reason) => Assert.Equal(reason, Reason(line));

    [Fact]
    public void AMissingImageIsFoundWhenItIsRead()
    {
        using var source = new JsonlSource(_folder.Write("one.jsonl", Line(1, 1, "none.jpg")));
        var e = Assert.Throws<SampleException>(() => source.Read(0).Images[0].Read());
        Assert.Equal(SkipReason.MissingImage, e.Reason);
        Assert.Contains("none.jpg", e.Message);
    }

    [Fact]
    public void ShardsGiveConversationsAndCaptions()
    {
        _folder.Write("s-0.tar", Tar(
            ("a/1.jpg", Jpeg(8, 8)), ("a/1.json", Bytes("""{"conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Grey."}]}""")),
            ("a/2.txt", Bytes(" A grey square.\n")), ("a/2.png", Jpeg(8, 8)),
            ("a/3.0.jpg", Jpeg(8, 8)), ("a/3.1.jpg", Jpeg(9, 8)), ("a/3.json", Bytes("""{"caption": "Two squares."}"""))));
        _folder.Write("s-1.tar", Tar(("b.jpg", Jpeg(8, 8)), ("c.json", Bytes("""{"question": "1+1?", "answer": "2"}"""))));
        using var source = SampleSources.Open(_folder.Path, prompt: "Describe.");
        Assert.Equal(5, source.Count);
        Assert.Equal("Grey.", source.Read(0).Messages[1].Content);
        Assert.Equal([new(ChatMessage.User, "<image>\nDescribe."), new(ChatMessage.Assistant, "A grey square.")], source.Read(1).Messages);
        Assert.Equal("<image>\n<image>\nDescribe.", source.Read(2).Messages[0].Content);
        Assert.Equal(Jpeg(9, 8), source.Read(2).Images[1].Read());
        Assert.Equal(SkipReason.NoAnswer, Assert.Throws<SampleException>(() => source.Read(3)).Reason);
        Assert.Equal("2", source.Read(4).Messages[1].Content);
    }

    [Fact]
    public void AShardThatIsCutShortGivesWhatIsWhole()
    {
        byte[] whole = Tar([.. Enumerable.Range(0, 4).SelectMany(i => new[] { ($"{i}.jpg", Jpeg(60, 60)), ($"{i}.txt", Bytes($"Number {i}.")) })]);
        using (var source = new TarSource("t", [_folder.Write("whole.tar", whole)]))
        {
            Assert.Equal(4, source.Count);
            Assert.Empty(source.Damage);
        }
        for (int length = 600; length < whole.Length - 1024; length += 700)
        {
            string path = _folder.Write("cut.tar", whole[..length]);
            try
            {
                using var source = new TarSource("t", [path]);
                Assert.InRange(source.Count, 1, 4);
                for (int i = 0; i < source.Count; i++)
                {
                    Assert.Equal($"Number {i}.", source.Read(i).Messages[1].Content);
                    Assert.Equal(Jpeg(60, 60), source.Read(i).Images[0].Read());
                }
            }
            catch (DatasetException e)
            {
                Assert.Contains("holds no sample", e.Message);
            }
        }
    }

    [Fact]
    public void WhatIsNoDataIsRefused()
    {
        Assert.Contains("no such file", Assert.Throws<DatasetException>(() => SampleSources.Open(_folder.File("none.jsonl"))).Message);
        Assert.Contains("known kind", Assert.Throws<DatasetException>(() => SampleSources.Open(_folder.Write("a.csv", "x"))).Message);
        Assert.Contains("holds no line", Assert.Throws<DatasetException>(() => SampleSources.Open(_folder.Write("a.jsonl", " \n\n"))).Message);
        Assert.Contains("holds no sample", Assert.Throws<DatasetException>(() => SampleSources.Open(_folder.Write("a.tar", new string('x', 3000)))).Message);
        Assert.Contains("holds no row", Assert.Throws<DatasetException>(() => SampleSources.Open(_folder.Write("a.parquet", "PAR1 and no more"))).Message);
    }
}
