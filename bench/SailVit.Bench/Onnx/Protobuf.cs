using System.Text;

namespace SailVit.Bench.Onnx;

/// <summary>A protobuf message under construction: the three encodings that ONNX graphs need.</summary>
/// <remarks>https://protobuf.dev/programming-guides/encoding.</remarks>
internal sealed class Protobuf
{
    private const int VarintType = 0, LengthType = 2, Fixed32Type = 5;

    private readonly List<byte> _bytes = [];

    public Protobuf Integer(int field, long value)
    {
        Tag(field, VarintType);
        Varint((ulong)value);
        return this;
    }

    public Protobuf Float(int field, float value)
    {
        Tag(field, Fixed32Type);
        _bytes.AddRange(BitConverter.GetBytes(value));
        return this;
    }

    public Protobuf Bytes(int field, ReadOnlySpan<byte> value)
    {
        Tag(field, LengthType);
        Varint((ulong)value.Length);
        _bytes.AddRange(value);
        return this;
    }

    public Protobuf Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    public Protobuf Message(int field, Protobuf value) => Bytes(field, value.ToArray());

    public byte[] ToArray() => [.. _bytes];

    private void Tag(int field, int type) => Varint((ulong)((field << 3) | type));

    private void Varint(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            _bytes.Add((byte)(value | 0x80));
        }
        _bytes.Add((byte)value);
    }
}
