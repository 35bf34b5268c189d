/// The stretches of a text that byte-level BPE encodes one by one.
///
/// They are the matches of `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: contractions,
/// then letters, numbers or other characters with one space before them, then white space, whose last character goes to
/// what follows.
/// Source: Radford et al. 2019, released code `encoder.py`; tokenizers `pre_tokenizers/byte_level.rs`.
enum ByteLevelWords {
  /// Calls `body` with each stretch in turn; together they are the whole text.
  @inline(__always)
  static func forEach(in text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    let classes = CharacterClass.Table()
    var start = 0
    while start < text.count {
      let end = end(of: text, from: start, classes)
      body(UnsafeBufferPointer(rebasing: text[start..<end]))
      start = end
    }
  }

  private static func end(
    of text: UnsafeBufferPointer<UInt8>, from start: Int, _ classes: CharacterClass.Table
  ) -> Int {
    if text[start] == UInt8(ascii: "'"), let end = contractionEnd(text, from: start) { return end }
    var (kind, width) = classes.kind(text, at: start)
    var position = start + width
    if text[start] == 0x20 && position < text.count {
      let (next, nextWidth) = classes.kind(text, at: position)
      if next != .space { (kind, position) = (next, position + nextWidth) }
    }
    var last = start
    while position < text.count {
      let (next, width) = classes.kind(text, at: position)
      guard next == kind else { break }
      last = position
      position += width
    }
    // A run of white space before something else leaves its last character to that, if there are two.
    return kind == .space && position < text.count && last > start ? last : position
  }

  private static func contractionEnd(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    guard start + 1 < text.count else { return nil }
    let first = text[start + 1]
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"):
      let second = first == UInt8(ascii: "l") ? UInt8(ascii: "l") : UInt8(ascii: "e")
      return start + 2 < text.count && text[start + 2] == second ? start + 3 : nil
    default: return nil
    }
  }
}
