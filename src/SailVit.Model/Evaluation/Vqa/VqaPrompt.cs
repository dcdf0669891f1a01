using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using SailVit.Model.Text;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>What a model is asked.</summary>
/// <param name="Text">The words; <see cref="ChatMessage.ImagePlace"/> marks the places of images.</param>
/// <param name="Images">Which images of the question go there, in order.</param>
/// <remarks>Source: VLMEvalKit (arXiv 2407.11691), build_prompt of vlmeval/dataset/image_mcq.py, image_vqa.py and image_base.py; images stand before
/// the words, each on a line of its own, as InternVL takes them.</remarks>
public sealed partial record VqaPrompt(string Text, IReadOnlyList<int> Images)
{
    private const string Place = ChatMessage.ImagePlace;

    /// <summary>Makes the prompt of a question.</summary>
    /// <exception cref="ArgumentException">A question of MMMU names an image that it does not have.</exception>
    public static VqaPrompt Of(VqaSet set, VqaQuestion question)
    {
        ArgumentNullException.ThrowIfNull(set);
        ArgumentNullException.ThrowIfNull(question);
        string words = Words(set, question);
        return set.IsMmmu && ImageName().IsMatch(words) ? Interleaved(words, question)
            : new(string.Concat(Enumerable.Repeat($"{Place}\n", question.Images.Count)) + words, [.. Enumerable.Range(0, question.Images.Count)]);
    }

    private static string Words(VqaSet set, VqaQuestion question) => set.Rule switch
    {
        VqaRule.Choice or VqaRule.CircularChoice => Choice(question),
        VqaRule.Anls or VqaRule.Relaxed or VqaRule.Exact => $"{question.Question}\nAnswer the question using a single word or phrase.",
        _ => question.Question,
    };

    private static string Choice(VqaQuestion question)
    {
        var text = new StringBuilder();
        if (question.Field("hint") is { } hint)
        {
            text.Append("Hint: ").Append(hint).Append('\n');
        }
        text.Append("Question: ").Append(question.Question).Append('\n');
        if (question.Options.Count > 0)
        {
            text.Append("Options:\n");
            foreach (var (letter, option) in question.Options)
            {
                text.Append(letter).Append(". ").Append(option).Append('\n');
            }
            text.Append("Please select the correct answer from the options above. \n");
        }
        return text.ToString();
    }

    private static VqaPrompt Interleaved(string words, VqaQuestion question)
    {
        var images = new List<int>();
        string text = ImageName().Replace(words, name =>
        {
            int image = int.Parse(name.Groups[1].Value, CultureInfo.InvariantCulture) - 1;
            if (image < 0 || image >= question.Images.Count)
            {
                throw new ArgumentException($"question {question.Index} names image {image + 1}; it has {question.Images.Count}.");
            }
            images.Add(image);
            return Place;
        });
        return new(text, images);
    }

    [GeneratedRegex(@"<image (\d)>")]
    private static partial Regex ImageName();
}
