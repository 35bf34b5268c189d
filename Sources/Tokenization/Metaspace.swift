/// Words with "▁" (U+2581) in place of the space before them.
///
/// Source: tokenizers `pre_tokenizers/metaspace.rs` with `prepend_scheme: always` and `split: true`, after
/// `WhitespaceSplit`.
enum Metaspace {
  private static let mark: [UInt8] = [0xE2, 0x96, 0x81]

  /// Splits normalised text at white space and before every "▁", and calls `body` with each word, "▁" in
  /// front.
  ///
  /// `word` is the memory in which the words are put together.
  static func forEachWord(
    in text: UnsafeBufferPointer<UInt8>, word: inout [UInt8], _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    word.removeAll(keepingCapacity: true)
    var position = 0
    func close() {
      if !word.isEmpty { word.withUnsafeBufferPointer(body) }
      word.removeAll(keepingCapacity: true)
    }
    while position < text.count {
      let space = whiteSpaceWidth(text, at: position)
      if space > 0 {
        close()
        position += space
        continue
      }
      if isMark(text, at: position) {
        close()
        word += mark
        position += mark.count
        continue
      }
      if word.isEmpty { word += mark }
      word.append(text[position])
      position += 1
    }
    close()
  }

  /// Adds the text of a token: "▁" becomes a space, and nothing in the first token.
  static func append(_ token: String, isFirst: Bool, to output: inout [UInt8]) {
    var token = token
    token.withUTF8 { bytes in
      var position = 0
      while position < bytes.count {
        if isMark(bytes, at: position) {
          if !isFirst { output.append(UInt8(ascii: " ")) }
          position += mark.count
        } else {
          output.append(bytes[position])
          position += 1
        }
      }
    }
  }

  private static func isMark(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Bool {
    text[position] == 0xE2 && position + 2 < text.count && text[position + 1] == 0x96
      && text[position + 2] == 0x81
  }

  /// Bytes of the white-space character at `position`, 0 if there is none (Unicode property White_Space).
  private static func whiteSpaceWidth(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Int {
    let first = text[position]
    if first < 0x80 { return first == 0x20 || (0x09...0x0D).contains(first) ? 1 : 0 }
    guard first == 0xC2 || (0xE1...0xE3).contains(first), position + 1 < text.count else { return 0 }
    let second = text[position + 1]
    if first == 0xC2 { return second == 0x85 || second == 0xA0 ? 2 : 0 }
    guard position + 2 < text.count else { return 0 }
    switch (first, second, text[position + 2]) {
    case (0xE1, 0x9A, 0x80): return 3  // U+1680
    case (0xE2, 0x80, 0x80...0x8A), (0xE2, 0x80, 0xA8), (0xE2, 0x80, 0xA9), (0xE2, 0x80, 0xAF): return 3
    case (0xE2, 0x81, 0x9F), (0xE3, 0x80, 0x80): return 3  // U+205F, U+3000
    default: return 0
    }
  }
}
