/// The printable characters that stand for bytes in the vocabularies of byte-level BPE.
///
/// Bytes 33–126, 161–172 and 174–255 stand for themselves, the other 68 in ascending order for U+0100 and up.
/// Source: Radford et al. 2019; tokenizers `pre_tokenizers/byte_level.rs`, `bytes_char`.
enum ByteAlphabet {
  /// The character of each byte.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      if (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174 {
        return Unicode.Scalar(UInt8(byte))
      }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? " "
    }
  }()

  private static let bytes = Dictionary(uniqueKeysWithValues: zip(characters.map(\.value), UInt8(0)...255))

  /// The bytes that a piece stands for; nil if it has other characters.
  static func decode(_ piece: [UInt8]) -> [UInt8]? {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(piece.count)
    for scalar in String(decoding: piece, as: UTF8.self).unicodeScalars {
      guard let byte = bytes[scalar.value] else { return nil }
      decoded.append(byte)
    }
    return decoded
  }

  /// UTF-8 of the character that stands for `byte`.
  static func encode(_ byte: UInt8) -> [UInt8] { Array(String(characters[Int(byte)]).utf8) }
}
