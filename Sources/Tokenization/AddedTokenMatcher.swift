/// Finds added tokens in a text: of those that begin first the longest, each character in one of them at most.
///
/// Source: tokenizers `tokenizer/added_vocabulary.rs`, `find_matches`.
struct AddedTokenMatcher: Sendable {
  private struct Entry: Sendable {
    let token: AddedToken
    let id: Int32
  }

  /// Tokens by first byte, the longest first.
  private let byFirstByte: [[Entry]]
  private let isEmpty: Bool

  init(_ tokens: [(token: AddedToken, id: Int32)]) {
    var grouped = Array(repeating: [Entry](), count: 256)
    for (token, id) in tokens {
      if let first = token.content.first { grouped[Int(first)].append(Entry(token: token, id: id)) }
    }
    byFirstByte = grouped.map { group in group.sorted { $0.token.content.count > $1.token.content.count } }
    isEmpty = tokens.isEmpty
  }

  /// Calls `text` with every stretch between tokens that is not empty, and `token` with the id of every token, in the
  /// order of the text.
  func split(
    _ bytes: UnsafeBufferPointer<UInt8>, text: (UnsafeBufferPointer<UInt8>) -> Void, token: (Int32) -> Void
  ) {
    var start = 0
    var position = isEmpty ? bytes.count : 0
    while position < bytes.count {
      guard !byFirstByte[Int(bytes[position])].isEmpty, let found = match(bytes, at: position) else {
        position += 1
        continue
      }
      let end = position + found.token.content.count
      if !found.token.isWholeWord || standsAlone(bytes, position..<end) {
        let left = found.token.stripsLeft ? UTF8Text.spaceStart(bytes, before: position, from: start) : position
        if start < left { text(UnsafeBufferPointer(rebasing: bytes[start..<left])) }
        token(found.id)
        start = found.token.stripsRight ? UTF8Text.spaceEnd(bytes, from: end) : end
      }
      position = end
    }
    if start < bytes.count { text(UnsafeBufferPointer(rebasing: bytes[start...])) }
  }

  private func match(_ bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> Entry? {
    byFirstByte[Int(bytes[position])].first { entry in
      let content = entry.token.content
      return content.count <= bytes.count - position
        && content.indices.allSatisfy { bytes[position + $0] == content[$0] }
    }
  }

  private func standsAlone(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Bool {
    if range.lowerBound > 0, UTF8Text.scalar(bytes, before: range.lowerBound).isWordCharacter { return false }
    return range.upperBound == bytes.count || !UTF8Text.scalar(bytes, at: range.upperBound).value.isWordCharacter
  }
}

extension Unicode.Scalar {
  /// What `\w` matches (Unicode Technical Standard 18, annex C).
  fileprivate var isWordCharacter: Bool {
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .spacingMark, .decimalNumber, .connectorPunctuation: true
    default: properties.isAlphabetic || properties.isJoinControl
    }
  }
}

extension AddedTokenMatcher {
  /// The tokens that are looked for in the text as it stands, or, normalised themselves, in the normalised text.
  init(
    _ tokens: [(token: AddedToken, id: Int32)], normalized: Bool, _ normalize: ([UInt8]) -> [UInt8] = { $0 }
  ) {
    self.init(
      tokens.filter { $0.token.isNormalized == normalized }.map { token, id in
        guard normalized else { return (token, id) }
        return (
          AddedToken(
            content: normalize(token.content), stripsLeft: token.stripsLeft, stripsRight: token.stripsRight,
            isWholeWord: token.isWholeWord, isNormalized: true, isSpecial: token.isSpecial), id
        )
      })
  }
}
