using System.Buffers.Binary;
using System.Text;

namespace SailVit.Model.Tests.Checkpoints;

/// <summary>Hand-made safetensors files, right and wrong.</summary>
internal static class SafetensorsBytes
{
    public static byte[] File(string header, int dataBytes, long? claimedLength = null) => File(Encoding.UTF8.GetBytes(header), dataBytes, claimedLength);

    public static byte[] File(byte[] header, int dataBytes, long? claimedLength = null)
    {
        byte[] file = new byte[8 + header.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(file, claimedLength ?? header.Length);
        header.CopyTo(file, 8);
        for (int i = 0; i < dataBytes; i++)
        {
            file[8 + header.Length + i] = (byte)i;
        }
        return file;
    }

    public static string Tensor(string name, string dtype, string shape, string offsets) =>
        $$"""{{name}}:{"dtype":{{dtype}},"shape":{{shape}},"data_offsets":{{offsets}}}""";
}
