using System.Buffers;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>Byte-level BPE (GPT-2, Qwen2, Qwen3): splitting and added tokens here, merging in Microsoft.ML.Tokenizers.</summary>
internal sealed class ByteLevelBpe : ITextTokenizer
{
    private readonly TokenizerModel _model;
    private readonly BpeTokenizer _bpe;
    private readonly Regex? _addedPattern;
    private readonly Dictionary<string, AddedToken> _added = new(StringComparer.Ordinal);
    private readonly byte[]?[] _bytes;
    private readonly bool[] _special;

    /// <exception cref="CheckpointException">The model is inconsistent.</exception>
    public ByteLevelBpe(TokenizerModel model)
    {
        model.Validate();
        _model = model;
        foreach (var token in model.Added)
        {
            _added[token.Content] = token;
        }
        _addedPattern = AddedPattern([.. _added.Values]);
        _bpe = Merger(model);
        VocabSize = model.Vocab.Values.Concat(model.Added.Select(a => a.Id)).Max() + 1;
        _bytes = new byte[]?[VocabSize];
        _special = new bool[VocabSize];
        foreach (var (token, id) in model.Vocab)
        {
            _bytes[id] = ByteAlphabet.Decode(token) ?? Encoding.UTF8.GetBytes(token);
        }
        foreach (var token in _added.Values)
        {
            _bytes[token.Id] = Encoding.UTF8.GetBytes(token.Content);
            _special[token.Id] = token.Special;
        }
        string? eos = model.Eos ?? new[] { ChatTemplate.TurnEnd, "<|endoftext|>" }.FirstOrDefault(_added.ContainsKey);
        EosId = eos is null ? throw model.Error("no token ends a text; eos_token of tokenizer_config.json must name one")
            : TokenId(eos) ?? throw model.Error($"eos_token is {TensorEntry.Show(eos)}, which is no token");
    }

    public int VocabSize { get; }

    public int EosId { get; }

    public int? TokenId(string token) => _added.TryGetValue(token, out var added) ? added.Id : _model.Vocab.TryGetValue(token, out int id) ? id : null;

    public IReadOnlyList<int> Encode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = WellFormed(text);
        var ids = new List<int>();
        int end = 0;
        if (_addedPattern is not null)
        {
            foreach (var match in _addedPattern.EnumerateMatches(text))
            {
                Merge(text[end..match.Index]);
                end = match.Index + match.Length;
                ids.Add(FindAdded(text[match.Index..end]).Id);
            }
        }
        Merge(text[end..]);
        return ids;

        void Merge(string piece)
        {
            if (piece.Length > 0)
            {
                ids.AddRange(_bpe.EncodeToIds(_model.Nfc ? Composition.Compose(piece) : piece));
            }
        }
    }

    public string Decode(IEnumerable<int> ids, bool skipSpecial = true)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var bytes = new ArrayBufferWriter<byte>();
        foreach (int id in ids)
        {
            if ((uint)id < (uint)_bytes.Length && _bytes[id] is { } token && !(skipSpecial && _special[id]))
            {
                bytes.Write(token);
            }
        }
        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    private AddedToken FindAdded(string match) => _added.TryGetValue(match, out var token) || _added.TryGetValue(match.Trim(), out token)
        ? token : throw new InvalidOperationException($"no added token '{match}'");

    // The longest first, so that of several at one place the longest wins.
    private static Regex? AddedPattern(IReadOnlyCollection<AddedToken> tokens) => tokens.Count == 0 ? null : new Regex(
        string.Join('|', tokens.OrderByDescending(t => t.Content.Length).Select(t => string.Concat(
            t.TakesLeft ? @"\s*" : "", t.SingleWord ? @"(?<!\w)" : "", Regex.Escape(t.Content), t.SingleWord ? @"(?!\w)" : "", t.TakesRight ? @"\s*" : ""))),
        RegexOptions.CultureInvariant);

    private static BpeTokenizer Merger(TokenizerModel model)
    {
        try
        {
            return BpeTokenizer.Create(new BpeOptions(model.Vocab)
            {
                Merges = model.Merges.Select(m => $"{m.Left} {m.Right}"),
                PreTokenizer = new SplitPattern(model.Pattern),
                ByteLevel = true,
            });
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or FormatException or InvalidDataException)
        {
            throw new CheckpointException($"{model.Source}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    // Half of a surrogate pair is no text and would have no bytes.
    private static string WellFormed(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            return text;
        }
        return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
    }
}
