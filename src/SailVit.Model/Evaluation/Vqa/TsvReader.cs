using System.Text;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>Rows of a tab-separated file as pandas reads one: a quoted field may hold tabs, line breaks and doubled quotes.</summary>
internal static class TsvReader
{
    /// <summary>Reads all rows, the first of which names the columns.</summary>
    /// <exception cref="ArgumentException">A quote is not closed, a column is named twice, or a row has more fields than there are columns.</exception>
    public static IEnumerable<Dictionary<string, string>> Read(TextReader text, string source)
    {
        string[]? columns = null;
        int line = 0;
        foreach (var fields in Rows(text, source))
        {
            line++;
            if (columns is null)
            {
                columns = [.. fields];
                if (columns.GroupBy(name => name).FirstOrDefault(g => g.Count() > 1) is { } twice)
                {
                    throw new ArgumentException($"{source}: the header names the column {twice.Key} twice.");
                }
                continue;
            }
            if (fields.Count > columns.Length)
            {
                throw new ArgumentException($"{source}: row {line} has {fields.Count} fields, the header names {columns.Length}.");
            }
            yield return fields.Select((value, i) => (Key: columns[i], value)).Where(f => !IsMissing(f.value)).ToDictionary(f => f.Key, f => f.value);
        }
    }

    private static IEnumerable<List<string>> Rows(TextReader text, string source)
    {
        var (fields, field) = (new List<string>(), new StringBuilder());
        bool quoted = false, any = false;
        for (int c = text.Read(); c >= 0; c = text.Read())
        {
            if (quoted)
            {
                if (c != '"')
                {
                    field.Append((char)c);
                }
                else if (text.Peek() == '"')
                {
                    field.Append((char)text.Read());
                }
                else
                {
                    quoted = false;
                }
                continue;
            }
            switch (c)
            {
                case '"' when field.Length == 0:
                    quoted = any = true;
                    break;
                case '\t':
                    End(fields, field);
                    any = true;
                    break;
                case '\r' when text.Peek() == '\n':
                    break;
                case '\n' when any || field.Length > 0:
                    End(fields, field);
                    yield return fields;
                    (fields, any) = ([], false);
                    break;
                case '\n':
                    break;
                default:
                    field.Append((char)c);
                    break;
            }
        }
        if (quoted)
        {
            throw new ArgumentException($"{source}: a quoted field is not closed; the file seems to be cut short.");
        }
        if (any || field.Length > 0)
        {
            End(fields, field);
            yield return fields;
        }
    }

    private static void End(List<string> fields, StringBuilder field)
    {
        fields.Add(field.ToString());
        field.Clear();
    }

    // What pandas takes for a missing value.
    private static bool IsMissing(string value) => value is "" or "#N/A" or "#N/A N/A" or "#NA" or "-1.#IND" or "-1.#QNAN" or "-NaN" or "-nan"
        or "1.#IND" or "1.#QNAN" or "<NA>" or "N/A" or "NA" or "NULL" or "NaN" or "None" or "n/a" or "nan" or "null";
}
