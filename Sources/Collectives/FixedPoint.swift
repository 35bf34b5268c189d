/// Doubles as integers, so that adding them gives the same bits in any order: multiples of 2^-28 (3.7e-9).
///
/// Meant for sums of losses and the like, which are printed with seven digits or so.
public enum FixedPoint {
  /// The unit is 2^-fractionBits.
  public static let fractionBits = 28

  /// The nearest multiple of the unit, ties to even; nil if `value` is not finite or not below 2^limitBits in
  /// magnitude. With limitBits = 34 - k, sums of 2^k values cannot overflow.
  public static func encode(_ value: Double, limitBits: Int = 34) -> Int64? {
    let limit = Double(sign: .plus, exponent: limitBits, significand: 1)
    guard value.magnitude < limit else { return nil }
    return Int64((value * Double(1 << fractionBits)).rounded(.toNearestOrEven))
  }

  /// The sum of the values, each rounded by itself; nil if their magnitudes add up to 2^limitBits or more.
  public static func encode(_ values: [Double], limitBits: Int = 34) -> Int64? {
    guard encode(values.reduce(0) { $0 + $1.magnitude }, limitBits: limitBits) != nil else { return nil }
    return values.reduce(0) { $0 + (encode($1, limitBits: limitBits) ?? 0) }
  }

  /// The Double nearest to a sum of encoded values.
  public static func decode(_ value: Int64) -> Double {
    Double(value) / Double(1 << fractionBits)
  }
}
