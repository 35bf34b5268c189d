/// The rule that places the fixed point of a tensor's gradients.
///
/// A window with exponent e says: every entry x of every leaf's gradient satisfies |x| < 2^e. With at most
/// 2^k leaves in the step, entries are rounded to multiples of 2^-shift, shift = 62 - k - e; then a sum stays
/// below 2^62 and cannot overflow. e is part of the training state and follows M, the largest |x| over all
/// leaves:
///
///     M < 2^e             else the step does not fit: recompute it in a window made from M
///     M >= 2^(e - 24)     else too few bits are left below: the same
///     M >= 2^(e - 8)      fits; the next window is 8 bits higher
///     M <  2^(e - 16)     fits; the next window is 8 bits lower
///
/// M is known only within these brackets (a count of leaves in each travels with the sums), which spares a
/// reduction of the maximum. It is the leaves' maximum that counts and not that of their sum, in which leaves
/// may cancel.
///
/// Error bound: each leaf is rounded once, by at most half a unit, so the sum of L <= 2^k leaves is off by at
/// most
///
///     L 2^-(shift + 1)  =  L 2^(e + k - 63)  <=  L 2^(k - 39) M        (worst window, M = 2^(e - 24))
///
/// i.e. 2^-33 M per leaf with k = 6; up to k = 14 it is no more than a float's own half unit, 2^-25 M. In the
/// window a steady run stays in (M >= 2^(e - 16)) it is 2^(k - 47) M per leaf.
enum GradientWindow {
  /// Where a tensor starts whose gradients nobody has seen: fits 2^-16 <= M < 2^8.
  static let unknown: Int32 = 8
  /// Bits between M and the top of a window made from M.
  static let headroomBits: Int32 = 8
  /// The step by which a window follows M; three steps deep it has too few bits left.
  static let strideBits: Int32 = 8
  /// Every finite float is below 2^128.
  static let highest: Int32 = 128
  /// Here `shift` reaches 149, and every float is a multiple of 2^-149: nothing is rounded, however small.
  static let lowest: Int32 = -104
  /// 2^15 leaves at most, so that sixteen bits count them.
  static let largestLeafBits = 15

  /// The k of a step of `leafCount` leaves: ceil(log2), at least 6.
  ///
  /// At least 6, so that a short last batch keeps the bits of the others.
  static func leafBits(leafCount: Int) -> Int {
    precondition(
      (0...(1 << largestLeafBits)).contains(leafCount),
      "a step of \(leafCount) leaves; at most \(1 << largestLeafBits) can be added")
    return max(6, Int.bitWidth - max(0, leafCount - 1).leadingZeroBitCount)
  }

  /// Entries are rounded to multiples of 2^-shift.
  static func shift(exponent: Int32, leafBits: Int) -> Int32 {
    min(149, 62 - Int32(leafBits) - exponent)
  }

  /// The window made from a maximum, given as floor(log2 M).
  static func exponent(ofMaximum logarithm: Int32) -> Int32 {
    clamp(logarithm + 1 + headroomBits)
  }

  static func clamp(_ exponent: Int32) -> Int32 { min(highest, max(lowest, exponent)) }
}

/// Where one tensor's leaf maxima lie in its window: numbers of leaves in four brackets, packed so that
/// adding the words of two ranks adds each number.
struct WindowCounts: Equatable {
  /// Sixteen bits each, from the top bracket down: [e-8, e), [e-16, e-8), [e-24, e-16), below but not zero.
  private(set) var word: UInt64 = 0

  init(word: UInt64 = 0) { self.word = word }

  /// Counts a leaf whose largest entry has floor(log2) = `logarithm`, below `exponent`.
  mutating func count(logarithm: Int32, exponent: Int32) {
    let bracket = min(3, (exponent - 1 - logarithm) / GradientWindow.strideBits)
    word &+= 1 << (UInt64(bracket) * 16)
  }

  /// 0 (top) ... 3 for the bracket in which the largest entry of all leaves lies, nil if all are zero.
  var highestBracket: Int? {
    (0..<4).first { (word >> (UInt64($0) * 16)) & 0xFFFF != 0 }
  }

  /// Whether too few bits are left for what the leaves hold. Where nothing is rounded there are always
  /// enough.
  func isTooCoarse(exponent: Int32) -> Bool {
    highestBracket == 3 && exponent > GradientWindow.lowest
  }

  /// The window of the next step, after one that fitted.
  func next(after exponent: Int32) -> Int32 {
    switch highestBracket {
    case 0: GradientWindow.clamp(exponent + GradientWindow.strideBits)
    case 2: GradientWindow.clamp(exponent - GradientWindow.strideBits)
    default: exponent
    }
  }
}
