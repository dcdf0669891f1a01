using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Text;
using Xunit;

namespace SailVit.Model.Tests.Text;

public sealed class TokenizerTests
{
    private static readonly string Folder = Path.Combine(TestData.Root, "tokenizer");
    private static readonly ITextTokenizer Small = Tokenizers.Load(Folder);

    // expected.json comes from an encoder that shares nothing with this one: the pattern matched by hand over code points,
    // pairs merged by rank over bytes.
    [Fact]
    public void IdsAreThoseOfTheIndependentEncoder()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "expected.json")));
        Assert.Equal(220, json.RootElement.GetArrayLength());
        foreach (var row in json.RootElement.EnumerateArray())
        {
            string text = row.GetProperty("text").GetString()!;
            Assert.Equal(row.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()), Small.Encode(text));
        }
    }

    [Theory]
    [InlineData("The star isn't red;\n\n  it's blue.  ")]
    [InlineData("图片里有什么？ 𝒜 🙂 👩‍👩‍👧\r\n\t\0")]
    public void ATextComesBackWhole(string text) => Assert.Equal(text, Small.Decode(Small.Encode(text)));

    [Fact]
    public void SpecialTokensAreLeftOutUnlessAskedFor()
    {
        var ids = Small.Encode("<|im_start|>a<|im_end|>");
        Assert.Equal("a", Small.Decode(ids));
        Assert.Equal("<|im_start|>a<|im_end|>", Small.Decode(ids, skipSpecial: false));
        Assert.Equal("", Small.Decode([-1, 99_999]));
    }

    [Fact]
    public void BytesThatAreNoTextBecomeReplacementCharacters()
    {
        var ids = Small.Encode("🙂");
        Assert.Equal(4, ids.Count);
        Assert.Equal("\uFFFD", Small.Decode(ids.Take(3)));
        Assert.Equal(Small.Encode("\uFFFDa"), Small.Encode("\uD800a"));
    }

    [Fact]
    public void AStreamHoldsBackWhatIsNoCharacterYet()
    {
        var stream = new IncrementalDecoder(Small);
        const string Text = "red 🙂图 é!";
        var pieces = Small.Encode(Text).Select(stream.Push).ToList();
        Assert.Equal(Text, string.Concat(pieces) + stream.Flush());
        Assert.DoesNotContain(pieces, piece => piece.Contains('\uFFFD'));
        Assert.Contains("🙂", pieces);
        Assert.Equal("", stream.Push(Small.Encode("🙂")[0]));
        Assert.Equal("\uFFFD", stream.Flush());
    }

    [Fact]
    public void TokensAreKnownByTheirStrings()
    {
        Assert.Equal(512, Small.VocabSize);
        Assert.Equal(511, Small.TokenId(ChatTemplate.ImageContext));
        Assert.Equal(Small.TokenId("<|im_end|>"), Small.EosId);
        Assert.Null(Small.TokenId("<|nothing|>"));
    }

    [Fact]
    public void TheOlderFilesGiveTheSameTokenizer()
    {
        using var folder = new TempFolder();
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "tokenizer.json")));
        var model = json.RootElement.GetProperty("model");
        folder.Write("vocab.json", model.GetProperty("vocab").GetRawText());
        folder.Write("merges.txt", "#version: 0.2\n" + string.Join('\n', model.GetProperty("merges").EnumerateArray().Select(m => m.GetString())) + "\n");
        var added = json.RootElement.GetProperty("added_tokens").EnumerateArray().ToDictionary(a => a.GetProperty("content").GetString()!, a => a.GetProperty("id").GetInt32());
        // Some in one file, all in the other, as in published folders.
        folder.Write("added_tokens.json", JsonSerializer.Serialize(added));
        folder.Write("tokenizer_config.json", """{"tokenizer_class": "Qwen2Tokenizer", "eos_token": {"content": "<|im_end|>"}, "added_tokens_decoder": {"507": {"content": "<|im_start|>", "special": true}}}""");
        var old = Tokenizers.Load(folder.Path);
        const string Text = "<|im_start|>user\n<img><IMG_CONTEXT></img> It's 12 o'clock.\n\n<|im_end|>";
        Assert.Equal(Small.Encode(Text), old.Encode(Text));
        Assert.Equal((Small.EosId, Small.VocabSize), (old.EosId, old.VocabSize));
    }

    [Fact]
    public void AttributesOfAddedTokensAreHeeded()
    {
        using var folder = new TempFolder();
        string json = File.ReadAllText(Path.Combine(Folder, "tokenizer.json"));
        folder.Write("tokenizer.json", json);
        folder.Write("tokenizer_config.json", """{"eos_token": "<|im_end|>", "added_tokens_decoder": {"600": {"content": "<mask>", "lstrip": true, "special": false}, "601": {"content": "<end", "single_word": true}, "602": {"content": "<end>", "rstrip": true}}}""");
        var tokenizer = Tokenizers.Load(folder.Path);
        Assert.Equal([.. tokenizer.Encode("a"), 600, .. tokenizer.Encode(" b")], tokenizer.Encode("a  <mask> b"));
        Assert.Equal("a<mask>", tokenizer.Decode(tokenizer.Encode("a <mask>")));
        Assert.Equal([602, .. tokenizer.Encode("x "), 601, .. tokenizer.Encode(".")], tokenizer.Encode("<end>  x <end."));
        Assert.DoesNotContain(601, tokenizer.Encode("<ends"));
    }

    [Fact]
    public void TrainingIsRepeatableAndUsesTheTexts()
    {
        using var folder = new TempFolder();
        TokenizerTrainer.Train(["one red circle", "two red circles"], 300, ["<|im_end|>", "<img>"], folder.Path);
        string first = File.ReadAllText(folder.File("tokenizer.json"));
        TokenizerTrainer.Train(["one red circle", "two red circles"], 300, ["<|im_end|>", "<img>"], folder.Path);
        Assert.Equal(first, File.ReadAllText(folder.File("tokenizer.json")));
        var tokenizer = Tokenizers.Load(folder.Path);
        Assert.Single(tokenizer.Encode(" red"));
        Assert.Equal(tokenizer.VocabSize - 1, tokenizer.TokenId("<img>"));
        Assert.Throws<ArgumentException>(() => TokenizerTrainer.Train([], 256, ["<a>"], folder.Path));
    }

    [Theory]
    [InlineData("[]", "must be a JSON object")]
    [InlineData("{", "not valid JSON")]
    [InlineData("""{"model": 1}""", "model is missing or no object")]
    [InlineData("""{"model": {"type": "WordPiece"}}""", "type is WordPiece; supported is BPE")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0.5}}}""", "no whole number as its id")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}}""", "no pair of tokens")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "byte_fallback": true}}""", "byte_fallback is true")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}""", "pre_tokenizer must be ByteLevel")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "Metaspace"}}""", "type is Metaspace")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}, "normalizer": {"type": "Lowercase"}}""", "type is Lowercase")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}""", "lacks 255 of the 256 bytes")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"a": 99999999}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}""", "ids must lie between")]
    [InlineData("""{"model": {"type": "BPE", "vocab": {"\ud800": 1}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}""", "tokenizer.json")]
    public void AMalformedOrUnknownTokenizerIsOneClearLine(string json, string message)
    {
        using var folder = new TempFolder();
        folder.Write("tokenizer.json", json);
        var e = Assert.Throws<CheckpointException>(() => Tokenizers.Load(folder.Path));
        Assert.Contains(message, e.Message);
        Assert.Contains(folder.Path, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void AnExpressionThatIsNoneIsRefused()
    {
        using var folder = new TempFolder();
        string json = File.ReadAllText(Path.Combine(Folder, "tokenizer.json"));
        folder.Write("tokenizer.json", json.Replace("(?i:'s|", "((("));
        Assert.Contains("tokenizer.json", Assert.Throws<CheckpointException>(() => Tokenizers.Load(folder.Path)).Message);
        folder.Write("tokenizer.json", json.Replace("\"merges\": [", "\"merges\": [\"q q\","));
        Assert.Contains("lacks", Assert.Throws<CheckpointException>(() => Tokenizers.Load(folder.Path)).Message);
    }

    [Fact]
    public void AFolderWithoutATokenizerIsRefused()
    {
        using var folder = new TempFolder();
        Assert.Contains("holds no tokenizer", Assert.Throws<CheckpointException>(() => Tokenizers.Load(folder.Path)).Message);
    }
}
