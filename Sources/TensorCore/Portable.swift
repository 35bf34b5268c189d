import CKernels

/// Elementary functions with the same bits on every CPU and system, as a library's differ in the last place between its
/// versions. Whatever reaches the bytes of a run takes these.
public enum Portable {
  /// e^x within 1 ulp; 0 below -745.2, infinity above 709.78.
  public static func exp(_ x: Double) -> Double { portable_exp(x) }
  /// The natural logarithm within 1 ulp; minus infinity at 0, NaN below.
  public static func log(_ x: Double) -> Double { portable_log(x) }
  /// log(1 + x) within 3 ulp.
  public static func log1p(_ x: Double) -> Double { portable_log1p(x) }
  /// cos(2π · turns) within 2e-16.
  public static func cosine(turns: Double) -> Double { portable_cosine_of_turns(turns) }
  /// base^exponent for base ≥ 0, within a relative (2 + 2 |exponent · log base|) · 2⁻⁵².
  public static func pow(_ base: Double, _ exponent: Double) -> Double { portable_pow(base, exponent) }
}
