namespace SailVit.Model.Data;

/// <summary>Refuses data in Thrift's compact protocol that announce more elements than bytes are there, or nest without end.</summary>
/// <remarks>
/// Parquet.Net passes over booleans and bytes in a list without reading them: 2³¹ of them, announced in six bytes, cost seconds.
/// Source: thrift, doc/specs/thrift-compact-protocol.md.
/// </remarks>
/// <param name="stream">Stands at the beginning of a struct; a read beyond the end throws.</param>
/// <param name="end">Where the data end.</param>
internal sealed class ThriftBounds(Stream stream, long end)
{
    // Parquet's own nest half a dozen; each level takes some of the stack, and running out of it would end the process.
    private const int Deepest = 64;

    private int _depth;

    private enum Type
    {
        Stop, True, False, Byte, I16, I32, I64, Double, Binary, List, Set, Map, Struct, Uuid,
    }

    /// <summary>Walks the struct.</summary>
    /// <exception cref="InvalidDataException">A collection is larger than the data, a type unknown, or the nesting too deep.</exception>
    /// <exception cref="EndOfStreamException">The data end before the struct.</exception>
    public void Check()
    {
        for (int header = stream.ReadByte(); header != (int)Type.Stop; header = stream.ReadByte())
        {
            if (header >> 4 == 0)
            {
                Number(); // of the field, else the distance to the one before
            }
            var type = (Type)(header & 15);
            if (type is not (Type.True or Type.False)) // the value itself
            {
                Value(type);
            }
        }
    }

    private void Value(Type type)
    {
        if (++_depth > Deepest)
        {
            throw new InvalidDataException($"it has values inside one another more than {Deepest} deep");
        }
        switch (type)
        {
            case Type.True or Type.False or Type.Byte:
                Pass(1);
                break;
            case Type.I16 or Type.I32 or Type.I64:
                Number();
                break;
            case Type.Double:
                Pass(8);
                break;
            case Type.Binary:
                Pass(Number());
                break;
            case Type.List or Type.Set:
                int header = stream.ReadByte();
                Elements(header >> 4 == 15 ? Number() : (ulong)header >> 4, (Type)(header & 15));
                break;
            case Type.Map:
                if (Number() is > 0 and var count)
                {
                    int types = stream.ReadByte();
                    Elements(count, (Type)(types >> 4), (Type)(types & 15));
                }
                break;
            case Type.Struct:
                Check();
                break;
            case Type.Uuid:
                Pass(16);
                break;
            default:
                throw new InvalidDataException($"it has a value of an unknown type, {(int)type}");
        }
        _depth--;
    }

    private void Elements(ulong count, params ReadOnlySpan<Type> types)
    {
        // The least of them takes a byte.
        if (count > (ulong)(end - stream.Position))
        {
            throw new InvalidDataException($"it announces {count:N0} elements in {end - stream.Position:N0} bytes");
        }
        for (ulong i = 0; i < count; i++)
        {
            foreach (var type in types)
            {
                Value(type);
            }
        }
    }

    private void Pass(ulong bytes)
    {
        if (bytes > (ulong)(end - stream.Position))
        {
            throw new EndOfStreamException("it ends too soon");
        }
        stream.Seek((long)bytes, SeekOrigin.Current);
    }

    private ulong Number()
    {
        ulong number = 0;
        for (int shift = 0; ; shift += 7)
        {
            int part = stream.ReadByte();
            number |= (ulong)(part & 127) << shift;
            if (part < 128)
            {
                return number;
            }
        }
    }
}
