using System.Diagnostics;
using System.Text.Json;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Cli;

/// <summary><c>sailvit chat</c> as a process, on the golden model with the small tokenizer.</summary>
public sealed class ChatTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public ChatTests()
    {
        foreach (string file in new[] { TestData.Golden("sailvl_qwen3_small", "config.json"), TestData.Golden("sailvl_qwen3_small", "model.safetensors"), Path.Combine(TestData.Root, "tokenizer", "tokenizer.json"), Path.Combine(TestData.Root, "tokenizer", "tokenizer_config.json") })
        {
            File.Copy(file, _folder.File(Path.GetFileName(file)));
        }
    }

    public void Dispose() => _folder.Dispose();

    private (int Exit, string Out, string Error) Chat(params IEnumerable<string> args) => Sailvit.Run(["chat", "--weights", _folder.Path, "--max-tokens", "8", .. args]);

    [Fact]
    public void TheAnswerIsThatOfTheModel()
    {
        var (exit, output, error) = Chat("--image", TestData.Image("rocket.jpg"), "--max-tiles", "1", "What is it?");
        Assert.True(exit == 0, error);
        using var model = MultimodalModel.Load(_folder.Path);
        var tokenizer = Tokenizers.Load(_folder.Path);
        var template = new ChatTemplate(tokenizer, model.Config.TokensPerTile);
        var prompt = template.Encode([new("user", "<image>\nWhat is it?")], [1], addGenerationPrompt: true);
        using var noGrad = no_grad();
        using var pixels = new Model.Images.ImageTransform(56, 56).ToBytes(Model.Images.ImageDecoder.Decode(TestData.Image("rocket.jpg")));
        var answer = model.Generate([new MultimodalPrompt(prompt.Ids, pixels)], new GenerationOptions { MaxNewTokens = 8, StopIds = [tokenizer.EosId] });
        Assert.Equal(tokenizer.Decode(answer[0].Ids) + "\n", output);
        Assert.NotEqual("\n", output);
    }

    [Fact]
    public void Interrupted_WhileItWaitsForTheQuestion_Ends()
    {
        const int SigInt = 2;
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals.");
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Sailvit.Library, "chat", "--weights", _folder.Path]) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
        // Loaded, and reading what never comes; a signal before that ends it as well.
        process.WaitForExit(TimeSpan.FromSeconds(3));
        _ = Sailvit.SendSignal(process.Id, SigInt);
        bool ended = process.WaitForExit(TimeSpan.FromSeconds(20));
        process.Kill();
        Assert.True(ended);
    }

    [Fact]
    public void AnOutputThatIsAnotherFile_StaysAsItIs()
    {
        string questions = _folder.Write("questions.jsonl", "{\"question\": \"What is it?\"}\n"), notes = _folder.Write("notes.txt", "a line without an end");
        Refused(notes, "is no file of answers");
        Refused(questions, "is an input as well");
        Assert.Equal("a line without an end", File.ReadAllText(notes));

        void Refused(string output, string mentions)
        {
            var (exit, _, error) = Chat("--batch", questions, "--output", output);
            Assert.Equal(1, exit);
            Assert.Contains(mentions, error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void ImagesKeepTheirSizeWhereTheConfigSaysSo()
    {
        var config = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(_folder.File("config.json")))!;
        config["any_res_positions"] = "bicubic";
        _folder.Write("config.json", config.ToJsonString());
        var (exit, output, error) = Chat("--image", TestData.Image("rocket.jpg"), "--max-tiles", "4", "What is it?");
        Assert.True(exit == 0, error);
        using var model = MultimodalModel.Load(_folder.Path);
        var tokenizer = Tokenizers.Load(_folder.Path);
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var image = Model.Images.ImageDecoder.Decode(TestData.Image("rocket.jpg"));
        var (height, width) = Model.Images.AnyResSize.Fit(image.Width, image.Height, 28, 4 * 56 * 56);
        Assert.NotEqual(height, width);
        var prompt = new ChatTemplate(tokenizer, 1).Encode([new("user", "<image>\nWhat is it?")], [height * width / (28 * 28)], addGenerationPrompt: true);
        var pixels = new Model.Images.ImageTransform(height, width).ToBytes(image)[0];
        var answer = model.Generate([new MultimodalPrompt(prompt.Ids, Images: [pixels])], new GenerationOptions { MaxNewTokens = 8, StopIds = [tokenizer.EosId] });
        Assert.Equal(tokenizer.Decode(answer[0].Ids) + "\n", output);
    }

    [Fact]
    public void SamplingIsSeeded()
    {
        string[] options = ["--temperature", "1.5", "--top-p", "0.95", "--top-k", "50", "--repetition-penalty", "1.1", "Hello"];
        var first = Chat(["--seed", "1", .. options]);
        Assert.True(first.Exit == 0, first.Error);
        Assert.Equal(first, Chat(["--seed", "1", .. options]));
        Assert.NotEqual(first.Out, Chat(["--seed", "2", .. options]).Out);
    }

    [Theory]
    [InlineData("--max-tokens", "0", "at least 1")]
    [InlineData("--temperature", "-1", "a positive number")]
    [InlineData("--top-p", "0", "above 0, at most 1")]
    [InlineData("--top-k", "-1", "0 (all) or positive")]
    [InlineData("--repetition-penalty", "0", "1 for none")]
    public void AnImpossibleOption_IsCalledWhatItIsCalled(string option, string value, string must)
    {
        // Before the model, which is not there.
        var (exit, output, error) = Sailvit.Run("chat", "--weights", TestData.Root, option, value, "Hello");
        Assert.Equal((1, ""), (exit, output));
        Assert.StartsWith($"sailvit: {option} is {value}; it must be ", error, StringComparison.Ordinal);
        Assert.Contains(must, error, StringComparison.Ordinal);
    }

    [Fact]
    public void ABatchGoesOnWhereItStoppedAndNamesWhatFailed()
    {
        File.Copy(TestData.Image("rocket.jpg"), _folder.File("r.jpg"));
        string batch = _folder.Write("batch.jsonl", """
            {"id": "a", "image": "r.jpg", "question": "What?"}
            {"id": 2, "image": null, "question": "And 1+1?"}

            {"image": "none.jpg", "question": "Lost?"}
            {broken
            {"question": " "}
            {"question": "x", "image": 5}
            """);
        string output = _folder.File("out.jsonl");
        var whole = Chat("--max-tiles", "1", "--batch", batch, "--output", output);
        Assert.Equal(1, whole.Exit);
        Assert.Contains("4 lines could not be answered", whole.Out);
        string[] lines = File.ReadAllLines(output);
        Assert.Equal(6, lines.Length);
        Assert.Equal("a", JsonDocument.Parse(lines[0]).RootElement.GetProperty("id").GetString());
        Assert.Contains("none.jpg", JsonDocument.Parse(lines[2]).RootElement.GetProperty("error").GetString());
        // Stopped in the middle of the second line.
        File.WriteAllText(output, lines[0] + "\n" + lines[1][..10]);
        Chat("--max-tiles", "1", "--batch", batch, "--output", output);
        Assert.Equal(lines, File.ReadAllLines(output));
        var other = Chat("--batch", _folder.Write("other.jsonl", """{"question": "Else?"}"""), "--output", output);
        Assert.Equal((1, "sailvit"), (other.Exit, other.Error.Split(':')[0]));
        Assert.Contains("no answer to line 1", other.Error);
        Assert.Equal(lines, File.ReadAllLines(output));
    }

    [Theory]
    [InlineData("no such file", "--image", "none.jpg", "What?")]
    [InlineData("the numbers must agree", "<image> <image>", "--image", "none.jpg")]
    [InlineData("belong together", "--batch", "x.jsonl")]
    [InlineData("--temperature is -1", "--temperature", "-1", "What?")]
    [InlineData("--max-tiles is 0", "--max-tiles", "0", "What?")]
    [InlineData("at most 1024", "--max-tiles", "2000000000", "What?")]
    [InlineData("there is no question", " ")]
    public void BadInputIsOneClearLine(string message, params string[] args)
    {
        var (exit, _, error) = Chat(args);
        Assert.Equal(1, exit);
        Assert.Contains(message, error);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    [Fact]
    public void WithoutATokenizerThereIsNoChat()
    {
        File.Delete(_folder.File("tokenizer.json"));
        var (exit, _, error) = Chat("What?");
        Assert.Equal(1, exit);
        Assert.Contains("holds no tokenizer", error);
    }
}
