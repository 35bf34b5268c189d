/// Characters in UTF-8. What is not valid reads as some character of at least one byte, within the text.
enum UTF8Text {
  /// The character at `position`, and its width in bytes.
  @inline(__always)
  static func scalar(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> (value: Unicode.Scalar, width: Int) {
    let first = UInt32(text[position])
    if first < 0x80 { return (Unicode.Scalar(UInt8(first)), 1) }
    let last = text.count - 1
    func rest(_ offset: Int) -> UInt32 { UInt32(text[min(position + offset, last)] & 0x3F) }
    let (code, width): (UInt32, Int) =
      if first < 0xE0 {
        ((first & 0x1F) << 6 | rest(1), 2)
      } else if first < 0xF0 {
        ((first & 0x0F) << 12 | rest(1) << 6 | rest(2), 3)
      } else {
        ((first & 0x07) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3), 4)
      }
    return (Unicode.Scalar(code) ?? "\u{FFFD}", min(width, text.count - position))
  }

  /// The character that ends before `position`.
  static func scalar(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Unicode.Scalar {
    scalar(text, at: start(text, before: position)).value
  }

  /// Where the character begins that ends before `position`.
  private static func start(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Int {
    var start = position - 1
    while start > 0 && text[start] & 0xC0 == 0x80 { start -= 1 }
    return start
  }

  /// Where the white space begins that ends at `end`, `limit` at the earliest.
  static func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before end: Int, from limit: Int) -> Int {
    var position = end
    while position > limit {
      let start = start(text, before: position)
      guard scalar(text, at: start).value.properties.isWhitespace else { break }
      position = start
    }
    return position
  }

  /// Where the white space ends that begins at `start`.
  static func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var position = start
    while position < text.count {
      let (value, width) = scalar(text, at: position)
      guard value.properties.isWhitespace else { break }
      position += width
    }
    return position
  }
}
