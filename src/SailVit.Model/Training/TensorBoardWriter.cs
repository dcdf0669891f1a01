using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace SailVit.Model.Training;

/// <summary>Scalars as a TensorBoard event file.</summary>
/// <remarks>Records of TFRecord framing (length, masked CRC-32C of it, payload, masked CRC-32C) that hold Event messages; of those
/// only wall_time (1), step (2), file_version (3) and summary (5: value 1 with tag 1, simple_value 2) are written.</remarks>
public sealed class TensorBoardWriter : IDisposable
{
    private readonly FileStream _file;

    /// <summary>Opens a new event file in a folder. TensorBoard reads all of a folder's as one run.</summary>
    /// <param name="folder">Made where it is missing.</param>
    /// <param name="time">Of the first event.</param>
    public TensorBoardWriter(string folder, DateTimeOffset time)
    {
        Directory.CreateDirectory(folder);
        string name = $"events.out.tfevents.{time.ToUnixTimeSeconds()}.{Environment.ProcessId}.{Guid.NewGuid():N}.sailvit";
        _file = new FileStream(Path.Combine(folder, name), FileMode.CreateNew, FileAccess.Write, FileShare.Read);
        Write(time, 0, Bytes(3, Encoding.ASCII.GetBytes("brain.Event:2")));
    }

    /// <summary>Adds the scalars of a step.</summary>
    public void Add(long step, DateTimeOffset time, IEnumerable<(string Tag, double Value)> scalars)
    {
        ArgumentNullException.ThrowIfNull(scalars);
        var summary = new List<byte>();
        foreach (var (tag, value) in scalars)
        {
            byte[] number = [(2 << 3) | 5, 0, 0, 0, 0];
            BinaryPrimitives.WriteSingleLittleEndian(number.AsSpan(1), (float)value);
            summary.AddRange(Bytes(1, [.. Bytes(1, Encoding.UTF8.GetBytes(tag)), .. number]));
        }
        Write(time, step, Bytes(5, [.. summary]));
        _file.Flush();
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Write(DateTimeOffset time, long step, byte[] rest)
    {
        var message = new byte[9];
        message[0] = (1 << 3) | 1;
        BinaryPrimitives.WriteDoubleLittleEndian(message.AsSpan(1), time.ToUnixTimeMilliseconds() / 1000.0);
        byte[] payload = [.. message, 2 << 3, .. Varint((ulong)step), .. rest];
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, payload.Length);
        _file.Write(length);
        _file.Write(MaskedCrc(length));
        _file.Write(payload);
        _file.Write(MaskedCrc(payload));
    }

    private static byte[] Bytes(int field, byte[] content) => [(byte)((field << 3) | 2), .. Varint((ulong)content.Length), .. content];

    private static List<byte> Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }
        bytes.Add((byte)value);
        return bytes;
    }

    internal static byte[] MaskedCrc(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in bytes)
        {
            crc = BitOperations.Crc32C(crc, b);
        }
        crc = ~crc;
        var masked = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(masked, unchecked(((crc >> 15) | (crc << 17)) + 0xa282ead8u));
        return masked;
    }
}
