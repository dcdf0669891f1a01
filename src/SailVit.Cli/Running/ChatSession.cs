using SailVit.Model.Checkpoints;
using SailVit.Model.Images;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>A multimodal checkpoint with its tokenizer, ready to answer.</summary>
internal sealed class ChatSession : IDisposable
{
    private readonly MultimodalModel _model;
    private readonly ITextTokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly ImageSplit _split;
    private readonly GenerationOptions _options;

    public ChatSession(string weights, ScalarType? dtype, string? system, int? maxTiles, GenerationOptions options)
    {
        _tokenizer = Tokenizers.Load(weights);
        var config = MultimodalConfigFile.Read(weights);
        _template = new ChatTemplate(_tokenizer, config.TokensPerCount, system ?? ChatTemplate.DefaultSystem);
        if (_template.ImageContextId >= 0 && _template.ImageContextId != config.ImageContextTokenId)
        {
            throw new CheckpointException($"{weights}: config.json says that {ChatTemplate.ImageContext} is {config.ImageContextTokenId}, the tokenizer says {_template.ImageContextId}; they belong to different models.");
        }
        _split = config.Split(maxTiles);
        _options = options with { StopIds = [.. new[] { _template.TurnEndId, _tokenizer.EosId }.Distinct()] };
        _model = MultimodalModel.Load(weights, dtype);
    }

    /// <summary>The question with a place for each image that has none yet.</summary>
    public static ChatMessage Question(string text, int images)
    {
        int places = ChatTemplate.ImagePlaces([new(ChatMessage.User, text)]);
        return places == 0 ? new(ChatMessage.User, string.Concat(Enumerable.Repeat($"{ChatMessage.ImagePlace}\n", images)) + text)
            : places == images ? new(ChatMessage.User, text)
            : throw new ArgumentException($"the question has {places} places ({ChatMessage.ImagePlace}) and there are {images} images; the numbers must agree, or leave the places out.");
    }

    /// <summary>Answers the last message.</summary>
    /// <param name="messages">The conversation.</param>
    /// <param name="images">Files, in the order of their places.</param>
    /// <param name="onText">Told of the answer piece by piece.</param>
    /// <param name="cancel">Stops between two tokens.</param>
    public string Answer(IReadOnlyList<ChatMessage> messages, IReadOnlyList<string> images, Action<string> onText, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var share = _split.Share(images.Count);
        var decoded = images.Select(path => ImageDecoder.Decode(path)).ToList();
        var prompt = _template.Encode(messages, [.. decoded.Select(image => share.Count(image.Width, image.Height))], addGenerationPrompt: true);
        var stream = new IncrementalDecoder(_tokenizer);
        var answer = new System.Text.StringBuilder();
        _model.Generate([_model.Prompt(prompt.Ids, [.. decoded.SelectMany(share.Split)])], _options, (_, id) => Say(stream.Push(id)), cancel);
        Say(stream.Flush());
        return answer.ToString();

        void Say(string text)
        {
            if (text.Length > 0)
            {
                answer.Append(text);
                onText(text);
            }
        }
    }

    public void Dispose() => _model.Dispose();
}
