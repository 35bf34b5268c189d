/// What kind of character byte-level BPE takes a character for: `\p{L}`, `\p{N}`, `\s` or none of them.
///
/// The reference's regular expressions know Unicode 16: characters that are younger are none of them. Compared with
/// tokenizers 0.23.3 for every character there is.
enum CharacterClass: UInt8, Sendable {
  case letter, number, space, other

  init(_ scalar: Unicode.Scalar) {
    let properties = scalar.properties
    guard !properties.isWhitespace else {
      self = .space
      return
    }
    guard let age = properties.age, age.major <= 16 else {
      self = .other
      return
    }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    default: self = .other
    }
  }

  /// The classes of the first 65,536 characters, looked up once.
  struct Table {
    private static let shared = (UInt32(0)..<0x10000).map { Unicode.Scalar($0).map(CharacterClass.init) ?? .other }
    private let classes = Self.shared

    /// The class of the character at `position` and its width in bytes.
    @inline(__always)
    func kind(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> (CharacterClass, width: Int) {
      let (scalar, width) = UTF8Text.scalar(text, at: position)
      let code = Int(scalar.value)
      return (code < classes.count ? classes[code] : CharacterClass(scalar), width)
    }
  }
}
