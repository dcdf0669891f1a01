using System.Reflection;
using System.Reflection.Emit;
using SailVit.Model.Tests.Cli;
using TorchSharp;
using Xunit;

namespace SailVit.Model.Tests.Repository;

/// <summary>Numbers that libtorch reads are held: <see cref="SailVit.Kernels.Interop.HeldScalar"/> says why.</summary>
public sealed class HeldNumberTests
{
    /// <summary>Places that stay as they are, by the beginning of "Type.Method".</summary>
    private static readonly Dictionary<string, string> Allowed = new()
    {
        ["SailVit.Cli.Doctor.OpSelfTest"] = "stock's half of a comparison, written as stock code is: small tensors, once",
    };

    private static readonly Assembly[] Examined = [typeof(SailVit.Kernels.functional).Assembly, typeof(SailVit.Model.Checkpoints.SafetensorsFile).Assembly, Assembly.LoadFrom(Sailvit.Library)];

    /// <summary>Methods of TorchSharp that wrap a number themselves: nobody can hold it.</summary>
    private static readonly HashSet<MethodBase> Wrapping = FindWrapping();

    [Fact]
    public void NoNumber_IsLeftToTheCollector()
    {
        var offences = Examined.SelectMany(IlReader.Methods).SelectMany(Offences).Where(o => !Allowed.Keys.Any(a => o.Place.StartsWith(a, StringComparison.Ordinal))).Select(o => $"{o.Place}: {o.What}").ToArray();
        Assert.True(offences.Length == 0, string.Join('\n', offences));
    }

    [Fact]
    public void Offences_AreFound()
    {
        string[] Found(string method) => [.. Offences(typeof(Planted).GetMethod(method)!).Select(o => o.What)];
        Assert.Single(Found(nameof(Planted.Number)));
        Assert.Single(Found(nameof(Planted.Sum)));
        Assert.Single(Found(nameof(Planted.NotDisposed)));
        Assert.Empty(Found(nameof(Planted.Held)));
    }

    [Fact]
    public void Exceptions_AreStillNeeded()
    {
        string[] places = [.. Examined.SelectMany(IlReader.Methods).SelectMany(Offences).Select(o => o.Place)];
        Assert.All(Allowed.Keys, allowed => Assert.Contains(places, p => p.StartsWith(allowed, StringComparison.Ordinal)));
    }

    private static class Planted
    {
        public static torch.Tensor Number(torch.Tensor x) => x.mul(1.5);

        public static torch.Tensor Sum(torch.Tensor x) => x + x;

        public static torch.Tensor NotDisposed(torch.Tensor x)
        {
            Scalar s = 1.5;
            return x.mul(s).mul(s);
        }

        public static torch.Tensor Held(torch.Tensor x)
        {
            using Scalar s = 1.5;
            return x.mul(s);
        }
    }

    private static IEnumerable<(string Place, string What)> Offences(MethodBase method)
    {
        var il = IlReader.Read(method);
        for (int i = 0; i < il.Count; i++)
        {
            if (il[i].Method is { } called && (Wrapping.Contains(called) || (Wraps(called) && !IsHeld(il, i + 1))))
            {
                // Parameters distinguish add(Tensor) from add(Tensor, Scalar).
                string taker = Wraps(called) ? $"a number given to {il.Skip(i + 1).FirstOrDefault(n => n.Method is not null).Method?.Name}" : $"{called.Name}({string.Join(", ", called.GetParameters().Select(p => p.ParameterType.Name))})";
                yield return ($"{method.DeclaringType}.{method.Name}", taker);
            }
        }
    }

    private static bool Wraps(MethodBase called) => called.DeclaringType == typeof(Scalar) && called.Name == "op_Implicit";

    /// <summary>Whether what stands on the stack goes into a field, which lives on, or into a local that is disposed after its use.</summary>
    private static bool IsHeld(List<Instruction> il, int at) => at < il.Count && (il[at].Code == OpCodes.Stsfld || il[at].Code == OpCodes.Stfld
        || (Local(il[at], "st") is { } stored && Enumerable.Range(at + 1, il.Count - at - 2).Any(i => Local(il[i], "ld") == stored && il[i + 1].Method?.Name == nameof(IDisposable.Dispose))));

    private static int? Local(Instruction i, string verb)
    {
        var name = i.Code.Name!;
        return !name.StartsWith(verb + "loc", StringComparison.Ordinal) ? null : char.IsAsciiDigit(name[^1]) ? name[^1] - '0' : i.Operand;
    }

    private static HashSet<MethodBase> FindWrapping()
    {
        const BindingFlags All = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        Type[] types = [typeof(torch.Tensor), typeof(torch), typeof(torch.nn.functional), typeof(torch.special)];
        var calls = types.SelectMany(t => t.GetMethods(All)).Where(m => m.GetMethodBody() is not null)
            .ToDictionary(m => (MethodBase)m, m => IlReader.Read(m).Where(i => i.Method is not null).Select(i => i.Method!).ToHashSet());
        var found = calls.Where(c => c.Value.Any(Wraps)).Select(c => c.Key).ToHashSet();
        // x + y is x.add(y), which is x.add(y, 1).
        while (calls.Where(c => !found.Contains(c.Key) && c.Value.Overlaps(found)).Select(c => c.Key).ToList() is { Count: > 0 } more)
        {
            found.UnionWith(more);
        }
        return found;
    }
}
