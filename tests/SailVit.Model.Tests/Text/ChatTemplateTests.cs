using SailVit.Model.Checkpoints;
using SailVit.Model.Text;
using Xunit;

namespace SailVit.Model.Tests.Text;

public sealed class ChatTemplateTests
{
    private static readonly ITextTokenizer Tokenizer = Tokenizers.Load(Path.Combine(TestData.Root, "tokenizer"));
    private static readonly ChatTemplate Template = new(Tokenizer, tokensPerTile: 4);

    private static string Text(IEnumerable<int> ids) => Tokenizer.Decode(ids, skipSpecial: false);

    private static string Trained(EncodedChat chat) => Text(chat.Ids.Where((_, i) => chat.Trained[i]));

    [Fact]
    public void AConversationIsWrittenAsChatMl()
    {
        var chat = Template.Encode([new("user", "<image>\nWhat?"), new("assistant", "A cat."), new("user", "Sure?"), new("assistant", "Yes.")], [2], addGenerationPrompt: false);
        string context = string.Concat(Enumerable.Repeat("<IMG_CONTEXT>", 8));
        Assert.Equal($"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<img>{context}</img>\nWhat?<|im_end|>\n<|im_start|>assistant\nA cat.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n", Text(chat.Ids));
        Assert.Equal("A cat.<|im_end|>Yes.<|im_end|>", Trained(chat));
        Assert.Equal(chat.Ids.Length, chat.Trained.Length);
        Assert.Equal(8, chat.Ids.Count(id => id == Template.ImageContextId));
    }

    // As it would be encoded as one text: the special tokens part it anyway.
    [Fact]
    public void PiecesGiveTheIdsOfTheWhole()
    {
        var chat = Template.Encode([new("user", "<image>\nWhat's  this? <image>"), new("assistant", "Two cats.")], [1, 3], addGenerationPrompt: false);
        Assert.Equal(Tokenizer.Encode(Text(chat.Ids)), chat.Ids);
    }

    [Fact]
    public void APromptIsTheBeginningOfItsTraining()
    {
        ChatMessage[] question = [new("system", "Be brief."), new("user", "What?")];
        var prompt = Template.Encode(question, [], addGenerationPrompt: true);
        // Even an answer that begins with a new line.
        var training = Template.Encode([.. question, new("assistant", "\n\nA cat.")], [], addGenerationPrompt: false);
        Assert.Equal(prompt.Ids, training.Ids.Take(prompt.Ids.Length));
        Assert.DoesNotContain(true, prompt.Trained);
        Assert.Equal("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n", Text(prompt.Ids));
    }

    [Fact]
    public void WithoutASystemMessageThereIsNoSystemTurn() =>
        Assert.Equal("<|im_start|>user\nHi<|im_end|>\n", Text(new ChatTemplate(Tokenizer, 4, system: "").Encode([new("user", "Hi")], [], false).Ids));

    [Theory]
    [InlineData("user", "<image> <image>", 1, "1 images and 2 places")]
    [InlineData("user", "none", 1, "1 images and 0 places")]
    [InlineData("robot", "x", 0, "a role is 'robot'")]
    [InlineData("user", "a <IMG_CONTEXT> b", 0, "holds <IMG_CONTEXT> itself")]
    public void WhatCannotBeEncodedIsRefused(string role, string content, int images, string message) =>
        Assert.Contains(message, Assert.Throws<ArgumentException>(() => Template.Encode([new(role, content)], [.. Enumerable.Repeat(1, images)], false)).Message);

    [Fact]
    public void ATokenizerWithoutTheTokensIsRefused()
    {
        using var folder = new TempFolder();
        TokenizerTrainer.Train(["a b"], 260, ["<|im_end|>", "<|im_start|>"], folder.Path);
        var plain = new ChatTemplate(Tokenizers.Load(folder.Path), 4);
        Assert.Equal(-1, plain.ImageContextId);
        Assert.Contains("no token <img>", Assert.Throws<CheckpointException>(() => plain.Encode([new("user", "<image>")], [1], false)).Message);
        TokenizerTrainer.Train(["a b"], 260, ["<|im_end|>"], folder.Path);
        Assert.Contains("no token <|im_start|>", Assert.Throws<CheckpointException>(() => new ChatTemplate(Tokenizers.Load(folder.Path), 4)).Message);
    }
}
