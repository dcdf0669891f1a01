using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>A failure inside the backward pass of one of this library's ops.</summary>
/// <remarks>
/// An exception cannot cross libtorch's engine. <c>loss.backward()</c> therefore throws TorchSharp's own exception, which
/// speaks of an invalid gradient; <c>autograd.grad</c>, where TorchSharp catches nothing and any error would end the
/// process, returns gradients that are NaN throughout. In both cases the cause is kept: run the pass through
/// <see cref="Run(Action)"/>, which throws it, or ask <see cref="TakeLast"/>.
/// </remarks>
public sealed class BackwardException : Exception
{
    // A failure belongs to the pass that runs on its thread. Nodes of a device without a host thread of its own, and passes
    // that nobody wrapped in Run, leave it to the process.
    [ThreadStatic]
    private static Pass? _pass;

    private static BackwardException? _last;

    /// <summary>Creates the exception.</summary>
    public BackwardException() { }

    /// <summary>Creates the exception with a message.</summary>
    public BackwardException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public BackwardException(string message, Exception innerException) : base(message, innerException) { }

    /// <summary>The cause of the last failed backward pass in this process that was not under <see cref="Run(Action)"/>, once;
    /// null if there was none.</summary>
    public static BackwardException? TakeLast() => Interlocked.Exchange(ref _last, null);

    /// <summary>Runs <c>loss.backward()</c> and throws the cause if one of this library's ops failed in it.</summary>
    /// <param name="loss">A scalar.</param>
    /// <exception cref="BackwardException">An op's backward failed; the inner exception says why.</exception>
    public static void Run(Tensor loss) => Run(() => loss.backward());

    /// <summary>Runs a backward pass and throws the cause if one of this library's ops failed in it.</summary>
    /// <param name="pass">Calls <c>backward()</c> or <c>autograd.grad</c>.</param>
    /// <exception cref="BackwardException">An op's backward failed; the inner exception says why.</exception>
    public static void Run(Action pass)
    {
        ArgumentNullException.ThrowIfNull(pass);
        var outer = _pass;
        var current = _pass = new Pass();
        try
        {
            pass();
        }
        catch (Exception) when (current.Failure is not null)
        {
            // Thrown below.
        }
        finally
        {
            _pass = outer;
            InFlightGradients.Release();
        }
        if (current.Failure is { } failure)
        {
            throw failure;
        }
    }

    /// <summary>A gradient that says "failed": one that the engine refuses, or NaN under <c>autograd.grad</c>.</summary>
    internal static Tensor RefusedGradient(long[] sizes, ScalarType dtype)
    {
        bool underGrad = new StackTrace().GetFrames().Any(f => f.GetMethod() is { Name: "grad" } m && m.DeclaringType == typeof(autograd));
        using Scalar nan = float.NaN;
        // Neither takes memory, the lack of which may be the failure.
        return (underGrad ? full([], nan, dtype).expand(sizes) : empty(sizes, dtype, META)).DetachFromDisposeScope();
    }

    /// <summary>Keeps the first failure of the pass: later ones follow from it.</summary>
    internal static void Keep(string op, Exception cause)
    {
        var failure = new BackwardException($"The backward pass of {op} failed: {cause.Message}", cause);
        if (_pass is { } pass)
        {
            pass.Failure ??= failure;
        }
        else
        {
            Interlocked.Exchange(ref _last, failure);
        }
    }

    private sealed class Pass
    {
        public BackwardException? Failure { get; set; }
    }
}
