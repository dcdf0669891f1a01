using System.CommandLine;
using SailVit.Cli.Commands;

var root = new RootCommand("SAILViT and fused vision-transformer kernels for TorchSharp.");
root.Subcommands.Add(BenchCommand.Create());
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (Exception e) when (e is ArgumentException or IOException or UnauthorizedAccessException)
{
    Console.Error.WriteLine($"sailvit: {e.Message.ReplaceLineEndings(" ")}");
    return 1;
}
