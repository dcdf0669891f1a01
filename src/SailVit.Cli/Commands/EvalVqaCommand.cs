using System.CommandLine;
using SailVit.Cli.Evaluation;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation.Vqa;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval vqa</c>: questions about images, answered and scored by the published rules.</summary>
internal static class EvalVqaCommand
{
    public static Command Create()
    {
        var data = EvalOptions.Many("--data", "Sets in VLMEvalKit's form; the name of a file says which it is (MMBench_DEV_EN_V11.tsv).", "FILE.tsv");
        var weights = new Option<string?>("--weights") { Description = "The model that answers: a SAIL-VL checkpoint folder with its tokenizer.", HelpName = "DIR" };
        var output = new Option<string?>("--output") { Description = "Folder for the answers, NAME.answers.jsonl; the same command goes on with what is there.", HelpName = "DIR" };
        var tokens = new Option<int>("--max-new-tokens") { Description = "Most tokens of an answer.", DefaultValueFactory = _ => 512 };
        var tiles = new Option<int?>("--max-tiles") { Description = "Most tiles of a question's images; without it, what the checkpoint says." };
        var batch = new Option<int>("--batch-size") { Description = "Questions answered at once.", DefaultValueFactory = _ => 1 };
        var dtype = EvalOptions.DType();
        var set = EvalOptions.Many("--set", "Names of the sets, where the files have others.", "NAME", required: false);
        var answers = EvalOptions.Many("--answers", "Score these answers: lines of {\"index\": …, \"answer\": …}.", "FILE.jsonl", required: false);
        var judge = EvalOptions.Many("--judge", "What a judge model said: lines of {\"index\": …, \"judge\": …}; a mark for MMVet, for others the answer that it took from the words. - for none.", "FILE.jsonl", required: false);
        var json = EvalOptions.Json();
        var command = new Command("vqa", "Answer sets of questions about images, and score them by the published rules.")
        {
            weights, data, set, output, answers, judge, json, tokens, tiles, batch, dtype,
        };
        command.SetAction(result =>
        {
            var tasks = VqaTask.Open(EvalOptions.Distinct(result.GetValue(data)!, data.Name), result.GetValue(set) ?? [], result.GetValue(answers) ?? [], result.GetValue(judge) ?? []);
            if (result.GetValue(batch) < 1 || result.GetValue(tokens) < 1 || result.GetValue(tiles) < 1)
            {
                throw new ArgumentException("--batch-size, --max-new-tokens and --max-tiles must be at least 1.");
            }
            using var interrupt = new Interrupt();
            using var answerer = Needed(tasks, result.GetValue(weights), result.GetValue(output)) is { } model
                ? new VqaAnswerer(model, EvalOptions.DType(result, dtype), result.GetValue(tokens), result.GetValue(tiles)) { BatchSize = result.GetValue(batch) } : null;
            var reports = new List<VqaReport>();
            foreach (var task in tasks)
            {
                var said = task.AnswersPath is { } path ? AnswerFile.Read(path, "answer", "prediction") : answerer!.Answer(task, result.GetValue(output)!, interrupt.Token);
                if (task.AnswersPath is null && task.Set.Rule == VqaRule.Marked && task.JudgePath is null)
                {
                    Console.Error.WriteLine($"{task.Set.Name}: answered; a judge model has to mark the answers before they can be scored (--judge).");
                    continue;
                }
                reports.Add(VqaStudy.Score(task, said));
            }
            VqaStudy.Show(reports);
            EvalOptions.Write(result.GetValue(json), VqaStudy.Results(reports));
            return 0;
        });
        return command;
    }

    // The model, where a set has no answers yet.
    private static string? Needed(List<VqaTask> tasks, string? weights, string? output)
    {
        if (tasks.FirstOrDefault(t => t.AnswersPath is null) is not { } open)
        {
            return null;
        }
        if (weights is null || output is null)
        {
            throw new ArgumentException($"{open.Path}: there are no answers to score; give them with --answers, or a model with --weights and a folder for its answers with --output.");
        }
        return weights;
    }
}
