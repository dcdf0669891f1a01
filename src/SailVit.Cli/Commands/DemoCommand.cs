using System.CommandLine;
using System.Globalization;
using SailVit.Cli.Running;
using SailVit.Model.Demonstration;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit demo</c>: the synthetic world of the demonstration, and the small models that it begins with.</summary>
internal static class DemoCommand
{
    public static Command Create() => new("demo", "The demonstration: a synthetic world, for recipes/demo.yaml.") { Prepare() };

    private static Command Prepare()
    {
        var output = new Option<string>("--output") { Description = "Folder of the world, which recipes/demo.yaml looks for in runs/demo-world.", HelpName = "DIR", DefaultValueFactory = _ => Path.Combine("runs", "demo-world") };
        var seed = new Option<int>("--seed") { Description = "Decides everything.", DefaultValueFactory = _ => 0 };
        var scale = new Option<double>("--scale") { Description = "Share of pictures, texts and pretraining steps: 0.01 for a trial.", DefaultValueFactory = _ => 1 };
        var command = new Command("prepare", "Paint the world, and pretrain an encoder on its pictures and two language models on its texts. What is there already stays.") { output, seed, scale };
        command.SetAction(result =>
        {
            var (from, share) = (result.GetValue(seed), result.GetValue(scale));
            if (from < 0 || !(share > 0 && double.IsFinite(share)))
            {
                throw new ArgumentException($"--seed is {from} and --scale {share}; they must be at least 0 and above 0.");
            }
            using var interrupt = new Interrupt();
            var world = new WorldPreparation(new WorldOptions { Seed = from }.Scaled(share), result.GetValue(output)!);
            foreach (var step in world.Steps)
            {
                double? loss = null;
                bool before = world.IsDone(step);
                if (!before)
                {
                    JobProgress.Run(step.Name, step.Items, report => loss = world.Make(step, report, interrupt.Token));
                }
                Console.WriteLine($"{step.Name}: {(before ? "there already" : "made")}{(loss is { } value ? string.Create(CultureInfo.InvariantCulture, $", last loss {value:F4}") : "")}");
            }
            return 0;
        });
        return command;
    }
}
