/// What BERT's tokenizer takes a character for.
///
/// The reference's character categories are those of Unicode 8: of younger characters it knows none. Compared with
/// tokenizers 0.23.3 for every character; U+11938 alone differs, which the reference does not decompose.
/// Source: tokenizers `normalizers/bert.rs`, `pre_tokenizers/bert.rs`.
enum BertCharacter: UInt8, Sendable {
  /// A control character, vanishes.
  case dropped
  case space
  /// A Chinese character, a word of its own.
  case ideograph
  /// An accent, once characters are decomposed.
  case mark
  /// A word of its own.
  case punctuation
  case word

  init(_ scalar: Unicode.Scalar) {
    switch scalar.value {
    case 0, 0xFFFD: self = .dropped
    case 0x09, 0x0A, 0x0D: self = .space
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
      0x2F800...0x2FA1F:
      self = .ideograph
    // Characters whose category has changed since.
    case 0x166D, 0x111C9: self = .punctuation
    case 0x1734, 0x1171E: self = .mark
    case 0x1885, 0x1886, 0xA9BD: self = .word
    default: self = Self.category(scalar)
    }
  }

  private static func category(_ scalar: Unicode.Scalar) -> BertCharacter {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .control, .privateUse: return .dropped
    case .format where isKnown(properties): return .dropped
    case .nonspacingMark where isKnown(properties): return .mark
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return isKnown(properties) ? .punctuation : .word
    // All other printable characters of ASCII but letters and digits count as well.
    case .currencySymbol, .mathSymbol, .modifierSymbol: return scalar.isASCII ? .punctuation : .word
    default: return properties.isWhitespace ? .space : .word
    }
  }

  private static func isKnown(_ properties: Unicode.Scalar.Properties) -> Bool { (properties.age?.major ?? 99) <= 8 }

  /// The kinds of the first 65,536 characters, looked up once.
  struct Table {
    private static let shared = (UInt32(0)..<0x10000).map { Unicode.Scalar($0).map(BertCharacter.init) ?? .word }
    private let kinds = Self.shared

    @inline(__always)
    subscript(scalar: Unicode.Scalar) -> BertCharacter {
      let code = Int(scalar.value)
      return code < kinds.count ? kinds[code] : BertCharacter(scalar)
    }
  }
}
