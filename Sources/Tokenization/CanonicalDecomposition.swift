import Foundation

/// The canonical decomposition of a text (NFD), character by character: in linear time, which Foundation's is not.
///
/// Source: Unicode Standard Annex 15; chapter 3.12 for Hangul.
struct CanonicalDecomposition {
  /// What has been added, decomposed.
  private(set) var scalars: [Unicode.Scalar] = []

  var isEmpty: Bool { scalars.isEmpty }

  mutating func append(_ scalar: Unicode.Scalar) {
    let code = scalar.value
    switch code {
    case ..<0x3400:
      if let parts = Self.table[Int(code)] { scalars += parts } else { scalars.append(scalar) }
    case 0x3400..<0xA000, 0x1F000..<0x20000: scalars.append(scalar)
    case 0xAC00...0xD7A3: appendSyllable(code - 0xAC00)
    default: scalars += Self.decomposed(scalar)
    }
  }

  /// Brings marks that follow each other into canonical order.
  mutating func order() {
    var start = 0
    while start < scalars.count {
      var end = start
      while end < scalars.count && Self.combiningClass(scalars[end]) > 0 { end += 1 }
      if end > start + 1 {
        let marks = scalars[start..<end].enumerated().map { (Self.combiningClass($1), $0, $1) }
        scalars.replaceSubrange(start..<end, with: marks.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2))
      }
      start = end + 1
    }
  }

  mutating func removeAll() { scalars.removeAll(keepingCapacity: true) }

  private mutating func appendSyllable(_ index: UInt32) {
    for code in [0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11A7 + index % 28] where code != 0x11A7 {
      if let scalar = Unicode.Scalar(code) { scalars.append(scalar) }
    }
  }

  /// Decompositions of the first characters, nil for those that are their own.
  private static let table: [[Unicode.Scalar]?] = (UInt32(0)..<0x3400).map { code in
    guard let scalar = Unicode.Scalar(code) else { return nil }
    let parts = decomposed(scalar)
    return parts == [scalar] ? nil : parts
  }

  private static func decomposed(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
  }

  private static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    scalar.properties.canonicalCombiningClass.rawValue
  }
}
