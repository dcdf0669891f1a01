namespace SailVit.Model.Demonstration;

/// <summary>Digits and letters of three by five dots.</summary>
internal static class Glyphs
{
    public const int Rows = 5, Columns = 3;

    private static readonly Dictionary<char, string> Table = new()
    {
        ['0'] = "### #.# #.# #.# ###",
        ['1'] = ".#. ##. .#. .#. ###",
        ['2'] = "### ..# ### #.. ###",
        ['3'] = "### ..# .## ..# ###",
        ['4'] = "#.# #.# ### ..# ..#",
        ['5'] = "### #.. ### ..# ###",
        ['6'] = "### #.. ### #.# ###",
        ['7'] = "### ..# .#. .#. .#.",
        ['8'] = "### #.# ### #.# ###",
        ['9'] = "### #.# ### ..# ###",
        ['a'] = ".#. #.# ### #.# #.#",
        ['b'] = "##. #.# ##. #.# ##.",
        ['c'] = ".## #.. #.. #.. .##",
        ['e'] = "### #.. ##. #.. ###",
        ['g'] = ".## #.. #.# #.# .##",
        ['h'] = "#.# #.# ### #.# #.#",
        ['k'] = "#.# #.# ##. #.# #.#",
        ['l'] = "#.. #.. #.. #.. ###",
        ['m'] = "#.# ### ### #.# #.#",
        ['n'] = "##. #.# #.# #.# #.#",
        ['o'] = ".#. #.# #.# #.# .#.",
        ['p'] = "##. #.# ##. #.. #..",
        ['s'] = ".## #.. .#. ..# ##.",
        ['t'] = "### .#. .#. .#. .#.",
        ['u'] = "#.# #.# #.# #.# ###",
        ['x'] = "#.# #.# .#. #.# #.#",
        ['y'] = "#.# #.# .#. .#. .#.",
    };

    /// <summary>The dots of a character, by row and column.</summary>
    public static IEnumerable<(int Row, int Column)> Dots(char character)
    {
        string[] rows = Table[character].Split(' ');
        return rows.SelectMany((row, r) => row.Select((dot, c) => (Dot: dot, r, c)).Where(d => d.Dot == '#').Select(d => (d.r, d.c)));
    }
}
