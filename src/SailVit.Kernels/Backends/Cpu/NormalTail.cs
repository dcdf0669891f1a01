using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>The normal distribution Φ and the slope of x·Φ(x), by table: a dozen instructions where the error function takes three dozen.</summary>
/// <remarks>
/// Both are f(x) = 1 − q(x) for x ≥ 0 and q(−x) below, with q(t) = Φ(−t), or Φ(−t) − t·φ(t) for the slope. q is a polynomial of
/// degree 5 on each of 16 pieces of equal width, around the piece's centre, interpolated at Chebyshev nodes in float64; from the
/// last centre on it is 0, where 1 − q is 1 in float32. Absolute error of q before rounding: 1.7e-8, and 5.8e-8 for the slope.
/// </remarks>
internal static class NormalTail
{
    private const int Pieces = 16;
    private const float TailWidth = 0.375f;
    private const float SlopeWidth = 0.40625f;

    /// <summary>Φ(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Distribution<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        Reflect<S, V>(x, Piecewise<S, V>(S.Abs(x), ref MemoryMarshal.GetReference(Tail), TailWidth));

    /// <summary>d/dx x·Φ(x) = Φ(x) + x·φ(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V GeluSlope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        Reflect<S, V>(x, Piecewise<S, V>(S.Abs(x), ref MemoryMarshal.GetReference(SlopeTail), SlopeWidth));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Reflect<S, V>(V x, V q) where S : struct, ISimd<V> where V : unmanaged =>
        S.Select(S.LessThan(x, S.Zero), q, S.Sub(S.Create(1f), q));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Piecewise<S, V>(V t, ref float table, float width) where S : struct, ISimd<V> where V : unmanaged
    {
        // The operand order lets NaN through.
        t = S.MinNative(S.Create((Pieces - 1) * width), t);
        // Adding 2^23 rounds to the nearest integer and leaves it in the low bits.
        var magic = S.Create(8388608f);
        var piece = S.Fma(t, S.Create(1 / width), magic);
        var r = S.NegFma(S.Sub(piece, magic), S.Create(width), t);
        var q = S.Lookup16(ref table, piece);
        q = S.Fma(q, r, S.Lookup16(ref Unsafe.Add(ref table, Pieces), piece));
        q = S.Fma(q, r, S.Lookup16(ref Unsafe.Add(ref table, 2 * Pieces), piece));
        q = S.Fma(q, r, S.Lookup16(ref Unsafe.Add(ref table, 3 * Pieces), piece));
        q = S.Fma(q, r, S.Lookup16(ref Unsafe.Add(ref table, 4 * Pieces), piece));
        return S.Fma(q, r, S.Lookup16(ref Unsafe.Add(ref table, 5 * Pieces), piece));
    }

    // Literals: the compiler makes aligned vector constants of them.
    private static ReadOnlySpan<float> Tail =>
    [
        // r^5
        -0.00980492402f, -0.00670827413f, 0.000129060209f, 0.00523863174f, 0.00583940698f, 0.00328594237f, 0.00047567318f, -0.000956879696f,
        -0.00110349746f, -0.000720158278f, -0.000343544991f, -0.000128940417f, -3.93466507e-05f, -9.93947106e-06f, -2.10185158e-06f, -5.33969683e-07f,
        // r^4
        -3.64466578e-05f, -0.0164752565f, -0.022778498f, -0.0171564873f, -0.00610545743f, 0.00269760168f, 0.00608494179f, 0.00539880386f,
        0.00332963839f, 0.00159261597f, 0.000616452249f, 0.00019729558f, 5.28762648e-05f, 1.19640499e-05f, 2.29834791e-06f, 3.31136192e-07f,
        // r^3
        0.0664930865f, 0.0532600358f, 0.0219581742f, -0.00937937573f, -0.0269824453f, -0.0288400669f, -0.021490572f, -0.0124923876f,
        -0.00590919005f, -0.00232250546f, -0.000767609279f, -0.000214969448f, -5.12744264e-05f, -1.04544961e-05f, -1.82708959e-06f, -2.76432218e-07f,
        // r^2
        -6.61465407e-08f, 0.0697210059f, 0.112924434f, 0.119179703f, 0.0971386507f, 0.064488098f, 0.0357077979f, 0.0167006962f,
        0.00664769718f, 0.00226300396f, 0.000661024824f, 0.000166071419f, 3.59478508e-05f, 6.713125e-06f, 1.08266431e-06f, 1.5107392e-07f,
        // r^1
        -0.398942292f, -0.37185508f, -0.301137447f, -0.211876646f, -0.1295176f, -0.0687862784f, -0.0317396522f, -0.0127241816f,
        -0.00443184841f, -0.00134111883f, -0.000352595729f, -8.05404779e-05f, -1.59837546e-05f, -2.75594698e-06f, -4.12848294e-07f, -5.37325064e-08f,
        // r^0
        0.5f, 0.353830248f, 0.22662735f, 0.130294517f, 0.066807203f, 0.030396359f, 0.0122244712f, 0.00433244789f,
        0.00134989817f, 0.000369078713f, 8.8417466e-05f, 1.85368226e-05f, 3.39770349e-06f, 5.44051034e-07f, 7.6051677e-08f, 0f,
    ];

    private static ReadOnlySpan<float> SlopeTail =>
    [
        // r^5
        -0.058262188f, -0.030434439f, 0.0211283751f, 0.0403210819f, 0.0208473951f, -0.00392810116f, -0.0118246237f, -0.00717350235f,
        -0.00148847001f, 0.000784513715f, 0.00082984427f, 0.000397821539f, 0.000129706008f, 3.16932092e-05f, 6.04748038e-06f, 1.35644029e-06f,
        // r^4
        -0.000369571702f, -0.0995112285f, -0.107424319f, -0.0373884179f, 0.0286682677f, 0.0440157652f, 0.0250549503f, 0.00477699982f,
        -0.00357328192f, -0.00375459762f, -0.00192645926f, -0.000684556609f, -0.000184095421f, -3.89240959e-05f, -6.60501564e-06f, -7.76540105e-07f,
        // r^3
        0.265991211f, 0.175829455f, -0.00885108858f, -0.132598013f, -0.133376077f, -0.0663976446f, -0.00780631881f, 0.0149131743f,
        0.0140783843f, 0.00741214585f, 0.00278877909f, 0.00080599176f, 0.000184828794f, 3.42352541e-05f, 5.17900162e-06f, 6.51721393e-07f,
        // r^2
        -7.86863552e-07f, 0.286131889f, 0.389099002f, 0.290893763f, 0.117681794f, -0.00647931546f, -0.0483930483f, -0.0406578034f,
        -0.0216394868f, -0.00854527857f, -0.00264189765f, -0.00065598503f, -0.000132712943f, -2.20751044e-05f, -3.03750176e-06f, -3.47795094e-07f,
        // r^1
        -0.797884583f, -0.674060881f, -0.38424933f, -0.0976969004f, 0.0682510734f, 0.107776515f, 0.0806123018f, 0.042584952f,
        0.017373722f, 0.00567205437f, 0.00150875014f, 0.000330430863f, 5.99848681e-05f, 9.06746027e-06f, 1.14507259e-06f, 1.21098211e-07f,
        // r^0
        0.5f, 0.193046227f, -0.0247617364f, -0.119888552f, -0.121043429f, -0.0818595365f, -0.0424587838f, -0.0176659897f,
        -0.0060173776f, -0.00169629033f, -0.000398321718f, -7.82386778e-05f, -1.28913262e-05f, -1.78542564e-06f, -2.08162703e-07f, 0f,
    ];
}
