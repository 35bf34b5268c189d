import Foundation

/// A token that is looked for in the text itself, before anything else is done with it.
struct AddedToken: Sendable, Equatable {
  /// UTF-8 of what is looked for.
  let content: [UInt8]
  /// Takes the white space on its left, and on its right, with it.
  var stripsLeft = false
  var stripsRight = false
  /// Found only where no word character touches it.
  var isWholeWord = false
  /// Looked for in the normalised text, normalised itself.
  var isNormalized = false
  /// Left out when special tokens are skipped.
  var isSpecial = true
}

extension AddedToken {
  /// A special token under its own text.
  init(_ text: String, stripsLeft: Bool = false) {
    self.init(content: Array(text.utf8), stripsLeft: stripsLeft)
  }

  /// A token as the files have it: a text, or an object with `content` and flags.
  ///
  /// - Parameter isSpecial: where the object does not say.
  /// - Returns: nil if it is neither.
  init?(_ json: ByteJSON, isSpecial: Bool) {
    guard let content = json.bytes ?? json["content"]?.bytes, !content.isEmpty else { return nil }
    let special = json["special"]?.bool ?? isSpecial
    self.init(
      content: content, stripsLeft: json["lstrip"]?.bool ?? false, stripsRight: json["rstrip"]?.bool ?? false,
      isWholeWord: json["single_word"]?.bool ?? false, isNormalized: json["normalized"]?.bool ?? !special,
      isSpecial: special)
  }
}

extension AddedToken {
  /// Adds what ids depend on.
  func add(to key: inout ContentKey, id: Int32) {
    content.withUnsafeBytes { key.add($0) }
    key.add(Int(id))
    for flag in [stripsLeft, stripsRight, isWholeWord, isNormalized, isSpecial] { key.add(flag ? 1 : 0) }
  }
}
