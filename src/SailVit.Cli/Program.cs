using System.CommandLine;
using SailVit.Cli;
using SailVit.Cli.Commands;

var root = new RootCommand("SAILViT and fused vision-transformer kernels for TorchSharp.");
root.Subcommands.Add(QuickstartCommand.Create());
root.Subcommands.Add(EmbedCommand.Create());
root.Subcommands.Add(EvalCommand.Create());
root.Subcommands.Add(SoupCommand.Create());
root.Subcommands.Add(RefineCommand.Create());
root.Subcommands.Add(DemoCommand.Create());
root.Subcommands.Add(ChatCommand.Create());
root.Subcommands.Add(VerifyCommand.Create());
root.Subcommands.Add(BenchCommand.Create());
root.Subcommands.Add(DoctorCommand.Create());
root.Subcommands.Add(InfoCommand.Create());
return CommandLine.Run(root, args);
