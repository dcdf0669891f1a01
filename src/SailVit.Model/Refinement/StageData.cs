using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using SailVit.Model.Training;

namespace SailVit.Model.Refinement;

/// <summary>The packed batches of a stage: its mixture, encoded for the model, in an order that the seed decides.</summary>
internal sealed class StageData : IBatchSource
{
    private readonly List<WeightedSource> _sources = [];
    private readonly SampleEncoder _encoder;
    private readonly PackingOptions _options;
    private PackedLoader? _loader;

    /// <exception cref="DatasetException">Data cannot be opened.</exception>
    /// <exception cref="CheckpointException">The tokenizer is not the model's.</exception>
    public StageData(StageRecipe stage, int seed, MultimodalConfig model, ITextTokenizer tokenizer, IReplicas replicas)
    {
        if (tokenizer.TokenId(ChatTemplate.ImageContext) is { } id && id != model.ImageContextTokenId)
        {
            throw new CheckpointException($"the model's img_context_token_id is {model.ImageContextTokenId}, its tokenizer's id of {ChatTemplate.ImageContext} {id}; write img_context_token_id into its config.json.");
        }
        int tiles = stage.PackTiles is { } most ? checked(most * (model.TokensPerTile / model.TokensPerCount)) : Math.Max(1, stage.PackTokens / model.TokensPerCount);
        // One lane for each pack of a step: the same packs make up a step, however many replicas share them.
        _options = new PackingOptions
        {
            MaxTokens = stage.PackTokens,
            MaxSampleTokens = model.Language.MaxPositions,
            MaxTiles = tiles,
            BufferSize = Math.Clamp(Candidates / stage.Batch, 16, 64),
            Weighting = stage.Weighting,
            Overflow = stage.Overflow,
            Seed = (ulong)seed,
            Lanes = stage.Batch,
            Rank = replicas.Rank,
            Replicas = replicas.Count,
        };
        _encoder = new SampleEncoder(new ChatTemplate(tokenizer, model.TokensPerCount), model.Split(stage.MinTiles, stage.MaxTiles, stage.Thumbnail));
        try
        {
            foreach (var origin in stage.Data)
            {
                _sources.Add(new(SampleSources.Open(origin.Path, origin.Images, origin.Prompt ?? SampleSources.DefaultPrompt), origin.Weight));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    // Over all lanes: enough to choose from, little enough to hold.
    private const int Candidates = 2048;

    private PackedLoader Loader => _loader ??= new PackedLoader(_sources, _encoder, _options);

    /// <summary>Samples of all sources together.</summary>
    public long Samples => _sources.Sum(s => s.Source.Count);

    /// <summary>Samples that could not be used so far.</summary>
    public SkipLog Skips => Loader.Skips;

    /// <inheritdoc/>
    public PackedBatch Next() => Loader.Next() ?? throw new DatasetException("the data has ended; an endless stream was expected.");

    /// <inheritdoc/>
    public string SaveState() => Loader.State.ToJson();

    /// <inheritdoc/>
    public void RestoreState(IReadOnlyList<string> states)
    {
        _loader?.Dispose();
        _loader = new PackedLoader(_sources, _encoder, _options, LoaderState.Share([.. states.Select(LoaderState.FromJson)], _options.Rank, _options.Replicas));
    }

    /// <summary>How many packs the data fill so many times over, from the mean size of some of its samples.</summary>
    public long Packs(double epochs) => PackCount.Estimate(_sources, _encoder, _options, epochs);

    /// <inheritdoc/>
    public void Dispose()
    {
        _loader?.Dispose();
        _sources.ForEach(s => s.Source.Dispose());
    }
}
