using System.Reflection;
using System.Reflection.Emit;

namespace SailVit.Model.Tests.Repository;

/// <summary>An instruction, with the method that it calls.</summary>
internal readonly record struct Instruction(OpCode Code, int Operand, MethodBase? Method);

/// <summary>Reads what a method was compiled to.</summary>
internal static class IlReader
{
    private static readonly Dictionary<short, OpCode> Codes = typeof(OpCodes).GetFields().Select(f => (OpCode)f.GetValue(null)!).ToDictionary(c => c.Value);

    /// <summary>Methods and constructors with a body, those of nested and generated types too.</summary>
    public static IEnumerable<MethodBase> Methods(Assembly assembly)
    {
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        return assembly.GetTypes().SelectMany(t => t.GetMethods(All).Cast<MethodBase>().Concat(t.GetConstructors(All))).Where(m => m.GetMethodBody() is not null);
    }

    /// <summary>Instructions in order, without their targets.</summary>
    public static List<Instruction> Read(MethodBase method)
    {
        var il = method.GetMethodBody()!.GetILAsByteArray()!;
        var instructions = new List<Instruction>();
        for (int at = 0; at < il.Length;)
        {
            var code = Codes[il[at] == 0xFE ? (short)(0xFE00 | il[at + 1]) : il[at]];
            at += code.Size;
            int size = Size(code, il, at);
            int operand = size == 4 ? BitConverter.ToInt32(il, at) : size == 2 ? BitConverter.ToInt16(il, at) : size == 1 ? il[at] : 0;
            instructions.Add(new(code, operand, code.OperandType == OperandType.InlineMethod ? Resolve(method, operand) : null));
            at += size;
        }
        return instructions;
    }

    private static int Size(OpCode code, byte[] il, int at) => code.OperandType switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(il, at)),
        _ => 4,
    };

    private static MethodBase? Resolve(MethodBase method, int token)
    {
        var ofType = method.DeclaringType is { IsGenericType: true } type ? type.GetGenericArguments() : null;
        return method.Module.ResolveMethod(token, ofType, method.IsGenericMethod ? method.GetGenericArguments() : null);
    }
}
