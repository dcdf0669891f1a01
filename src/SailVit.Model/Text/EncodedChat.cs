namespace SailVit.Model.Text;

/// <summary>A conversation as token ids.</summary>
/// <param name="Ids">Token ids; the places of images hold the image-context token's id.</param>
/// <param name="Trained">True where the assistant wrote the token, the <c>&lt;|im_end|&gt;</c> of its turn included.</param>
public sealed record EncodedChat(int[] Ids, bool[] Trained);
