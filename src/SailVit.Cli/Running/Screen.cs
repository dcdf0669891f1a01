using Spectre.Console;

namespace SailVit.Cli.Running;

/// <summary>Standard output.</summary>
internal static class Screen
{
    private const int WideEnough = 200;

    /// <summary>Writes a table; in a file or a pipe it is not folded to 80 columns.</summary>
    public static void Write(Table table)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive)
        {
            AnsiConsole.Profile.Width = WideEnough;
        }
        AnsiConsole.Write(table);
    }
}
