using System.CommandLine;
using SailVit.Cli.Commands;
using SailVit.Kernels.Interop;

var root = new RootCommand("SAILViT and fused vision-transformer kernels for TorchSharp.");
root.Subcommands.Add(BenchCommand.Create());
root.Subcommands.Add(DoctorCommand.Create());
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (Exception e) when (e is ArgumentException or IOException or UnauthorizedAccessException or PlatformNotSupportedException or LibTorchException)
{
    Console.Error.WriteLine($"sailvit: {e.Message.ReplaceLineEndings(" ")}");
    return 1;
}
