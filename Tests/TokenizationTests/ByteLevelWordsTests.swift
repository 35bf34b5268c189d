import Foundation
import Testing

@testable import Tokenization

@Suite struct ByteLevelWordsTests {
  private func words(_ text: String) -> [String] {
    var words: [String] = []
    Array(text.utf8).withUnsafeBufferPointer { bytes in
      ByteLevelWords.forEach(in: bytes) { words.append(String(decoding: $0, as: UTF8.self)) }
    }
    return words
  }

  @Test func examples() {
    #expect(words("Hello my  friend, it's 2023!") == ["Hello", " my", " ", " friend", ",", " it", "'s", " 2023", "!"])
    #expect(words("'S 'll l'l''re'") == ["'", "S", " '", "ll", " l", "'", "l", "''", "re", "'"])
    #expect(words("a \n b\n\nc  ") == ["a", " \n", " b", "\n", "\n", "c", "  "])
    #expect(words("\u{a0}\u{a0}x\u{3000}") == ["\u{a0}", "\u{a0}", "x", "\u{3000}"])
    #expect(words("x²½٣日本e\u{301}") == ["x", "²½٣", "日本e", "\u{301}"])
    #expect(words("") == [] && words(" ") == [" "])
    // Letters that Unicode 16 does not have yet are none.
    #expect(words("a\u{88f}") == ["a", "\u{88f}"])
  }

  /// The same stretches as the regular expression, on texts of few characters.
  @Test func regularExpression() throws {
    let pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    let expression = try NSRegularExpression(pattern: pattern)
    let alphabet = ["'", "s", "t", "r", "e", "v", "l", " ", " ", "\n", "1", "!", "é", "\u{a0}", "日", "😀"]
    var state: UInt64 = 1
    for _ in 0..<3000 {
      let length = state >> 60
      let text = (0...length).map { _ -> String in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return alphabet[Int(state >> 33) % alphabet.count]
      }.joined()
      let matches = expression.matches(in: text, range: NSRange(text.startIndex..., in: text))
      #expect(words(text) == matches.compactMap { Range($0.range, in: text).map { String(text[$0]) } })
    }
  }
}
