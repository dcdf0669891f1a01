using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>ChatML with images, as Qwen and InternVL write it.</summary>
/// <remarks>
/// A turn is <c>&lt;|im_start|&gt;role⏎content&lt;|im_end|&gt;⏎</c>. Each <c>&lt;image&gt;</c> becomes
/// <c>&lt;img&gt;&lt;IMG_CONTEXT&gt;×(tokens per tile · tiles)&lt;/img&gt;</c>. An answer is encoded apart from the line before
/// it, so that training sees the tokens that a prompt for generation ends with.
/// </remarks>
public sealed class ChatTemplate
{
    /// <summary>Begins a turn.</summary>
    public const string TurnStart = "<|im_start|>";

    /// <summary>Ends a turn.</summary>
    public const string TurnEnd = "<|im_end|>";

    /// <summary>Begins an image.</summary>
    public const string ImageStart = "<img>";

    /// <summary>Ends an image.</summary>
    public const string ImageEnd = "</img>";

    /// <summary>Stands for one embedding of an image.</summary>
    public const string ImageContext = "<IMG_CONTEXT>";

    /// <summary>What the system says where a conversation has no system message.</summary>
    public const string DefaultSystem = "You are a helpful assistant.";

    private readonly ITextTokenizer _tokenizer;
    private readonly int _tokensPerTile, _imageStart, _imageEnd;
    private readonly int[] _turnEnd, _newLine;

    /// <summary>A template over a tokenizer.</summary>
    /// <param name="tokenizer">Must know the tokens of ChatML; those of images only if images come.</param>
    /// <param name="tokensPerTile">Embeddings of one tile, such as 256; 1 where images keep their own size and merged patches are counted.</param>
    /// <param name="system">Said where a conversation has no system message; empty leaves the turn out.</param>
    /// <exception cref="CheckpointException">The tokenizer lacks a token of ChatML.</exception>
    public ChatTemplate(ITextTokenizer tokenizer, int tokensPerTile, string system = DefaultSystem)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(system);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(tokensPerTile);
        _tokenizer = tokenizer;
        _tokensPerTile = tokensPerTile;
        DefaultSystemMessage = system;
        _ = Require(TurnStart);
        _turnEnd = [Require(TurnEnd)];
        _newLine = [.. tokenizer.Encode("\n")];
        ImageContextId = tokenizer.TokenId(ImageContext) ?? -1;
        _imageStart = tokenizer.TokenId(ImageStart) ?? -1;
        _imageEnd = tokenizer.TokenId(ImageEnd) ?? -1;
    }

    /// <summary>The id at the places of images; −1 where the tokenizer has none.</summary>
    public int ImageContextId { get; }

    /// <summary>The id that ends a turn.</summary>
    public int TurnEndId => _turnEnd[0];

    /// <summary>Said where a conversation has no system message.</summary>
    public string DefaultSystemMessage { get; }

    /// <summary>How many images a conversation has places for.</summary>
    public static int ImagePlaces(IEnumerable<ChatMessage> messages) => messages.Sum(m => m.Content.Split(ChatMessage.ImagePlace).Length - 1);

    /// <summary>Encodes a conversation.</summary>
    /// <param name="messages">The turns.</param>
    /// <param name="tilesPerImage">Tiles of each image, in the order of their places.</param>
    /// <param name="addGenerationPrompt">Ends with the beginning of the assistant's turn.</param>
    /// <exception cref="ArgumentException">Images and places differ in number, a role is unknown, or a text holds the image-context token itself.</exception>
    /// <exception cref="CheckpointException">There are images and the tokenizer lacks a token for them.</exception>
    public EncodedChat Encode(IReadOnlyList<ChatMessage> messages, IReadOnlyList<int> tilesPerImage, bool addGenerationPrompt)
    {
        ArgumentNullException.ThrowIfNull(messages);
        ArgumentNullException.ThrowIfNull(tilesPerImage);
        Check(messages, tilesPerImage);
        var ids = new List<int>();
        var trained = new List<bool>();
        int image = 0;
        bool hasSystem = messages.Count > 0 && messages[0].Role == ChatMessage.System;
        foreach (var message in hasSystem || DefaultSystemMessage.Length == 0 ? messages : messages.Prepend(new(ChatMessage.System, DefaultSystemMessage)))
        {
            bool answer = message.Role == ChatMessage.Assistant;
            Append(Header(message.Role), false);
            Append(Content(message.Content, tilesPerImage, ref image), answer);
            Append(_turnEnd, answer);
            Append(_newLine, false);
        }
        if (addGenerationPrompt)
        {
            Append(Header(ChatMessage.Assistant), false);
        }
        return new EncodedChat([.. ids], [.. trained]);

        void Append(IReadOnlyList<int> more, bool learn)
        {
            ids.AddRange(more);
            trained.AddRange(Enumerable.Repeat(learn, more.Count));
        }
    }

    private IReadOnlyList<int> Header(string role) => _tokenizer.Encode($"{TurnStart}{role}\n");

    private List<int> Content(string content, IReadOnlyList<int> tilesPerImage, ref int image)
    {
        var ids = new List<int>();
        string[] parts = content.Split(ChatMessage.ImagePlace);
        for (int i = 0; i < parts.Length; i++)
        {
            ids.AddRange(_tokenizer.Encode(parts[i]));
            if (i < parts.Length - 1)
            {
                ids.Add(_imageStart);
                ids.AddRange(Enumerable.Repeat(ImageContextId, checked(_tokensPerTile * tilesPerImage[image++])));
                ids.Add(_imageEnd);
            }
        }
        return ids;
    }

    private void Check(IReadOnlyList<ChatMessage> messages, IReadOnlyList<int> tilesPerImage)
    {
        int places = ImagePlaces(messages);
        if (places != tilesPerImage.Count)
        {
            throw new ArgumentException($"there are {tilesPerImage.Count} images and {places} places ({ChatMessage.ImagePlace}) in the text; the numbers must agree.");
        }
        if (places > 0)
        {
            _ = (Require(ImageStart), Require(ImageContext), Require(ImageEnd));
        }
        if (tilesPerImage.Any(tiles => tiles < 1))
        {
            throw new ArgumentException("an image has no tile; it must have at least one.");
        }
        foreach (var message in messages)
        {
            if (message.Role is not (ChatMessage.System or ChatMessage.User or ChatMessage.Assistant))
            {
                throw new ArgumentException($"a role is '{message.Role}'; known are {ChatMessage.System}, {ChatMessage.User} and {ChatMessage.Assistant}.");
            }
            // It would be taken for the place of an embedding that does not come.
            if (message.Content.Contains(ImageContext, StringComparison.Ordinal))
            {
                throw new ArgumentException($"a text holds {ImageContext} itself; write {ChatMessage.ImagePlace} where an image belongs.");
            }
        }
    }

    private int Require(string token) => _tokenizer.TokenId(token)
        ?? throw new CheckpointException($"the tokenizer has no token {token}, which the conversation needs; this is no tokenizer of a ChatML model with images.");
}
