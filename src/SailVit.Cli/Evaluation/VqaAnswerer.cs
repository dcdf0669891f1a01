using System.Security.Cryptography;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation.Vqa;
using SailVit.Model.Images;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>Asks a model, several questions at once, while other threads make the images of the next ones ready.</summary>
internal sealed class VqaAnswerer : IDisposable
{
    private readonly MultimodalModel _model;
    private readonly ITextTokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly ImageSplit _split;
    private readonly GenerationOptions _options;
    private readonly string _weights;
    private readonly ScalarType _dtype;

    public VqaAnswerer(string weights, ScalarType dtype, int maxNewTokens, int? maxTiles)
    {
        (_weights, _dtype) = (weights, dtype);
        // What is quickly found missing first.
        _tokenizer = Tokenizers.Load(weights);
        var config = MultimodalConfigFile.Read(weights);
        _template = new ChatTemplate(_tokenizer, config.TokensPerCount);
        if (_template.ImageContextId != config.ImageContextTokenId)
        {
            throw new ArgumentException($"{weights}: the tokenizer's {ChatTemplate.ImageContext} is {_template.ImageContextId}, the config's img_context_token_id {config.ImageContextTokenId}; they must be the same.");
        }
        _split = config.Split(maxTiles);
        _options = new GenerationOptions { MaxNewTokens = maxNewTokens, StopIds = [_template.TurnEndId, _tokenizer.EosId] };
        _model = MultimodalModel.Load(weights, dtype);
        _model.eval();
    }

    public required int BatchSize { get; init; }

    /// <summary>Answers what the log has no answer to.</summary>
    /// <exception cref="OperationCanceledException">Says what is kept.</exception>
    public IReadOnlyDictionary<string, string> Answer(VqaTask task, string folder, CancellationToken cancel)
    {
        string path = Path.Combine(folder, $"{task.Set.Name}.answers.jsonl");
        // Neither of the build nor of the file's place or time: an answer is text, and stays what this model said to this question.
        var run = EmbedIdentity.Of(EncoderOptions.Sources(_weights), [Content(task.Path)], task.Set.Name, $"{_dtype}", $"{_split}", $"{_options.MaxNewTokens} tokens", $"batch {BatchSize}");
        using var log = AnswerLog.Open(path, $"weights {run.Weights}, questions {run.Inputs}, {run.Options}");
        int start = log.Answers.Count;
        var left = task.Questions.Where(q => !log.Answers.ContainsKey(q.Index)).Chunk(BatchSize).ToList();
        try
        {
            JobProgress.Run(task.Set.Name, task.Questions.Count, report => Answer(task, left, log, report, cancel), start);
        }
        catch (OperationCanceledException e)
        {
            throw new OperationCanceledException($"interrupted; {log.Answers.Count} of {task.Questions.Count} answers are kept in {path}, and the same command goes on from there.", e);
        }
        return log.Answers.ToDictionary();
    }

    public void Dispose() => _model.Dispose();

    private static string Content(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    private void Answer(VqaTask task, List<VqaQuestion[]> batches, AnswerLog log, Action<int> report, CancellationToken cancel)
    {
        var next = Begin(0);
        for (int i = 0; i < batches.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            var prepared = next!.GetAwaiter().GetResult();
            next = Begin(i + 1);
            using var scope = NewDisposeScope();
            var prompts = Array.ConvertAll(prepared, p => _model.Prompt(p.Ids, p.Pieces));
            var said = _model.Generate(prompts, _options, cancellation: cancel);
            foreach (var ((question, p), sequence) in batches[i].Zip(prepared).Zip(said))
            {
                log.Add(question.Index, p.Text, _tokenizer.Decode(sequence.Ids).Trim());
            }
            report(said.Count);
        }

        Task<Prepared[]>? Begin(int batch) => batch < batches.Count ? Task.Run(() => batches[batch].AsParallel().AsOrdered().Select(q => Prepare(task, q)).ToArray(), cancel) : null;
    }

    private Prepared Prepare(VqaTask task, VqaQuestion question)
    {
        var prompt = VqaPrompt.Of(task.Set, question);
        var share = _split.Share(prompt.Images.Count);
        var images = prompt.Images.Select(i => question.Decode(i, task.Path)).ToList();
        try
        {
            var chat = _template.Encode([new ChatMessage(ChatMessage.User, prompt.Text)], [.. images.Select(image => share.Count(image.Width, image.Height))], addGenerationPrompt: true);
            return new(prompt.Text, chat.Ids, [.. images.SelectMany(share.Split)]);
        }
        catch (ArgumentException e)
        {
            throw new ArgumentException($"{task.Path}: question {question.Index}: {e.Message}", e);
        }
    }

    private sealed record Prepared(string Text, int[] Ids, IReadOnlyList<RgbImage> Pieces);
}
