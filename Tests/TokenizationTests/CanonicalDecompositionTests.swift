import Foundation
import Testing

@testable import Tokenization

@Suite struct CanonicalDecompositionTests {
  private func decomposed(_ text: String) -> [Unicode.Scalar] {
    var decomposition = CanonicalDecomposition()
    for scalar in text.unicodeScalars { decomposition.append(scalar) }
    decomposition.order()
    return decomposition.scalars
  }

  private func expectFoundation(_ text: String) {
    let expected = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
    #expect(decomposed(text) == expected, "\(text.debugDescription)")
  }

  @Test func likeFoundation() {
    let alphabet: [Unicode.Scalar] = [
      "a", "é", "ｶ", "ﾞ", "が", "각", "가", "豈", "日", "😀", "\u{301}", "\u{327}", "\u{323}", "\u{34f}", "\u{344}",
      "\u{f71}", "\u{1d15e}", "\u{2000}", "\u{1e09}", "\u{2f81d}",
    ]
    var state: UInt64 = 3
    for _ in 0..<3000 {
      var text = String.UnicodeScalarView()
      for _ in 0...(state >> 61) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      expectFoundation(String(text))
    }
  }

  /// Marks within a character whose own class is 0 take part, which Foundation misses; expected from Python's
  /// `unicodedata`.
  @Test func marksWithinACharacter() {
    #expect(decomposed("a\u{301}\u{f73}\u{323}") == ["a", "\u{f71}", "\u{f72}", "\u{323}", "\u{301}"])
  }

  @Test func everyCharacterByItself() {
    for code in UInt32(0x80)..<0x30000 {
      guard let scalar = Unicode.Scalar(code) else { continue }
      let found = decomposed(String(scalar))
      guard found != Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars) else { continue }
      Issue.record("U+\(String(code, radix: 16)): found \(found)")
    }
  }
}
