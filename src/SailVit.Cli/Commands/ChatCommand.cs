using System.CommandLine;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using SailVit.Model.Images;
using SailVit.Model.Language;
using SailVit.Model.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit chat</c>: images and a question to an answer.</summary>
internal static class ChatCommand
{
    private static readonly Argument<string?> Question = new("question") { Description = "The question; without it, a conversation on the terminal, or the question from standard input.", Arity = ArgumentArity.ZeroOrOne };

    private static readonly Option<string> Weights = new("--weights") { Description = "Folder of a multimodal checkpoint with its tokenizer.", HelpName = "DIR", Required = true };

    private static readonly Option<string[]> Images = new("--image") { Description = "Image files, in the order of the places (<image>) in the question; without places they come first.", HelpName = "FILE", Arity = ArgumentArity.OneOrMore };

    private static readonly Option<string?> System = new("--system") { Description = $"What the system says first (default: {ChatTemplate.DefaultSystem} An empty text: nothing)." };

    private static readonly Option<int?> MaxTiles = new("--max-tiles") { Description = "Most tiles of an image (default: the checkpoint's max_dynamic_patch); where images keep their own size, as many tiles' area." };

    private static readonly Option<int> MaxTokens = new("--max-tokens") { Description = "Most tokens of an answer.", DefaultValueFactory = _ => 512 };

    private static readonly Option<double> Temperature = new("--temperature") { Description = "0: always the most likely token; higher: more varied.", DefaultValueFactory = _ => 0 };

    private static readonly Option<double> TopP = new("--top-p") { Description = "Draw from the most likely tokens that together have this probability.", DefaultValueFactory = _ => 1 };

    private static readonly Option<int> TopK = new("--top-k") { Description = "Draw from so many of the most likely tokens; 0: from all.", DefaultValueFactory = _ => 0 };

    private static readonly Option<double> RepetitionPenalty = new("--repetition-penalty") { Description = "Above 1: tokens that were there already become less likely.", DefaultValueFactory = _ => 1 };

    private static readonly Option<int> Seed = new("--seed") { Description = "Seed of the draws.", DefaultValueFactory = _ => 0 };

    private static readonly Option<string?> DType = new("--dtype") { Description = "float32 or bfloat16 (default: the checkpoint's own)." };

    private static readonly Option<string?> Batch = new("--batch") { Description = "Answer the questions of a JSONL file: {\"image\": …, \"question\": …} a line, images beside it.", HelpName = "FILE" };

    private static readonly Option<string?> Output = new("--output") { Description = "Answers to --batch, a line each. A run that was stopped goes on where it was.", HelpName = "OUT" };

    private static readonly (string Property, Option Option)[] Settings =
    [
        (nameof(GenerationOptions.MaxNewTokens), MaxTokens),
        (nameof(GenerationOptions.Temperature), Temperature),
        (nameof(GenerationOptions.TopP), TopP),
        (nameof(GenerationOptions.TopK), TopK),
        (nameof(GenerationOptions.RepetitionPenalty), RepetitionPenalty),
    ];

    public static Command Create()
    {
        DType.AcceptOnlyFromAmong("float32", "bfloat16");
        var command = new Command("chat", "Ask a multimodal model about images.") { Question, Weights, Images, System, MaxTiles, MaxTokens, Temperature, TopP, TopK, RepetitionPenalty, Seed, DType, Batch, Output };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult result)
    {
        string? question = result.GetValue(Question), batch = result.GetValue(Batch), output = result.GetValue(Output);
        string[] images = result.GetValue(Images) ?? [];
        if ((batch is null) != (output is null) || (batch is not null && (question is not null || images.Length > 0)))
        {
            throw new ArgumentException("--batch and --output belong together, and go without a question or --image.");
        }
        if (batch is not null && !File.Exists(batch))
        {
            throw new ArgumentException($"{batch}: there is no such file.");
        }
        if (output is not null)
        {
            Files.CheckOutput(output, batch!);
        }
        if (result.GetValue(MaxTiles) is < 1 or > DynamicTiling.MostTiles)
        {
            throw new ArgumentException($"--max-tiles is {result.GetValue(MaxTiles)}; it must be at least 1, at most {DynamicTiling.MostTiles}.");
        }
        using var session = Open(result);
        if (batch is null && question is null && !Console.IsInputRedirected)
        {
            Converse(session, images);
            return 0;
        }
        // Waiting for words is left to the system: Ctrl+C ends it.
        question = batch is null ? (question ?? Console.In.ReadToEnd()).Trim() : null;
        using var interrupt = new Interrupt();
        if (batch is not null)
        {
            int failed = new ChatBatch(batch, output!).Run((text, files) => session.Answer([ChatSession.Question(text, files.Count)], files, _ => { }, interrupt.Token), interrupt.Token);
            Console.WriteLine(failed == 0 ? $"answers → {output}" : $"answers → {output}; {failed} lines could not be answered, see 'error' there");
            return failed == 0 ? 0 : 1;
        }
        if (string.IsNullOrEmpty(question))
        {
            throw new ArgumentException("there is no question; give it as an argument or on standard input.");
        }
        session.Answer([ChatSession.Question(question, images.Length)], images, Show, interrupt.Token);
        Console.WriteLine();
        return 0;
    }

    private static ChatSession Open(ParseResult result) => new(
        result.GetValue(Weights)!,
        result.GetValue(DType) switch { "float32" => ScalarType.Float32, "bfloat16" => ScalarType.BFloat16, _ => null },
        result.GetValue(System),
        result.GetValue(MaxTiles),
        Generation(result));

    // Checked before the model is read; a message names the option, not the property.
    private static GenerationOptions Generation(ParseResult result)
    {
        var options = new GenerationOptions
        {
            MaxNewTokens = result.GetValue(MaxTokens),
            Temperature = result.GetValue(Temperature),
            TopP = result.GetValue(TopP),
            TopK = result.GetValue(TopK),
            RepetitionPenalty = result.GetValue(RepetitionPenalty),
            Seed = result.GetValue(Seed),
        };
        try
        {
            options.Validate();
            return options;
        }
        catch (ArgumentException e)
        {
            var (property, option) = Settings.First(s => e.Message.StartsWith($"{s.Property} ", StringComparison.Ordinal));
            throw new ArgumentException(option.Name + e.Message[property.Length..], e);
        }
    }

    // The images belong to the first question; an empty line or the end of input ends the conversation.
    private static void Converse(ChatSession session, string[] images)
    {
        var messages = new List<ChatMessage>();
        for (Prompt(); Console.ReadLine() is { Length: > 0 } line; Prompt())
        {
            messages.Add(ChatSession.Question(line, messages.Count == 0 ? images.Length : 0));
            using var interrupt = new Interrupt();
            string answer = session.Answer(messages, images, Show, interrupt.Token);
            Console.WriteLine();
            messages.Add(new ChatMessage(ChatMessage.Assistant, answer));
        }

        static void Prompt() => Console.Write("> ");
    }

    private static void Show(string text)
    {
        Console.Write(text);
        Console.Out.Flush();
    }
}
