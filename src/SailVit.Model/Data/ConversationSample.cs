using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>A conversation about images, as a source holds it.</summary>
/// <param name="Id">Names it in reports.</param>
/// <param name="Messages">Its turns; <c>&lt;image&gt;</c> marks the places of the images, as many as there are.</param>
/// <param name="Images">Its images, encoded and unread.</param>
public sealed record ConversationSample(string Id, IReadOnlyList<ChatMessage> Messages, IReadOnlyList<EncodedImage> Images);

/// <summary>An image file's content, read when it is wanted.</summary>
/// <param name="Name">Named in messages.</param>
/// <param name="Read">Gives the content; throws <see cref="SampleException"/> where there is none.</param>
public sealed record EncodedImage(string Name, Func<byte[]> Read);
