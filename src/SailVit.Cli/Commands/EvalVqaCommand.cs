using System.CommandLine;
using SailVit.Cli.Evaluation;
using SailVit.Model.Evaluation.Vqa;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval vqa</c>: answers to questions about images, scored by the published rules.</summary>
internal static class EvalVqaCommand
{
    public static Command Create()
    {
        var data = EvalOptions.Many("--data", "Sets in VLMEvalKit's form; the name of a file says which it is (MMBench_DEV_EN_V11.tsv).", "FILE.tsv");
        var set = EvalOptions.Many("--set", "Names of the sets, where the files have others.", "NAME", required: false);
        var answers = EvalOptions.Many("--answers", "Score these answers: lines of {\"index\": …, \"answer\": …}.", "FILE.jsonl", required: false);
        var judge = EvalOptions.Many("--judge", "What a judge model said: lines of {\"index\": …, \"judge\": …}; a mark for MMVet, for others the answer that it took from the words. - for none.", "FILE.jsonl", required: false);
        var json = EvalOptions.Json();
        var command = new Command("vqa", "Score answers to sets of questions about images by the published rules.") { data, set, answers, judge, json };
        command.SetAction(result =>
        {
            var tasks = VqaTask.Open(EvalOptions.Distinct(result.GetValue(data)!, data.Name), result.GetValue(set) ?? [], result.GetValue(answers) ?? [], result.GetValue(judge) ?? []);
            List<VqaReport> reports = [.. tasks.Select(task => VqaStudy.Score(task, Answers(task)))];
            VqaStudy.Show(reports);
            EvalOptions.Write(result.GetValue(json), VqaStudy.Results(reports));
            return 0;
        });
        return command;
    }

    private static IReadOnlyDictionary<string, string> Answers(VqaTask task) => task.AnswersPath is { } path ? AnswerFile.Read(path, "answer", "prediction")
        : throw new ArgumentException($"{task.Path}: there are no answers to score; give them with --answers.");
}
