import CSentencePiece
import Foundation

/// Trains the vocabulary of a T5 tokenizer: a unigram model by the SentencePiece library's own trainer.
///
/// Pieces have T5's ids: `<pad>` 0, `</s>` 1, `<unk>` 2; sentinels come above the pieces, by the tokenizer's configuration. There is
/// no start of sequence and no fallback to bytes; the normaliser is `nmt_nfkc`. The same lines give the same bytes.
/// Source: Kudo 2018, "Subword Regularization"; Raffel et al. 2020, §2.2.
public struct VocabularyTrainer: Sendable {
  /// Pieces, those of the three special tokens included.
  public let pieceCount: Int
  /// Share of the characters of the text that get a piece; the rarest become `<unk>`.
  public var characterCoverage = 0.9995

  public init(pieceCount: Int) { self.pieceCount = pieceCount }

  /// The bytes of `spiece.model`.
  ///
  /// - Parameter lines: empty ones are left out. The library would leave out lines with a tab, a null or its own mark "▅": they
  ///   count as spaces here.
  /// - Throws: `TokenizationError.untrainable` with the library's reason.
  public func train(_ lines: some Sequence<String>) throws -> [UInt8] {
    var text: [UInt8] = []
    var ends: [Int] = []
    for line in lines {
      let start = text.count
      for scalar in line.unicodeScalars {
        switch scalar {
        case "\t", "\0", "\u{2585}", "\n", "\r": text.append(UInt8(ascii: " "))
        default: text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
      }
      if text[start...].allSatisfy({ $0 == UInt8(ascii: " ") }) {
        text.removeSubrange(start...)
      } else {
        ends.append(text.count)
      }
    }
    guard !ends.isEmpty else {
      throw TokenizationError.untrainable(pieces: pieceCount, reason: "there is no text to train on")
    }
    return try Self.train(text, ends, pieceCount: Int32(clamping: pieceCount), coverage: characterCoverage)
  }

  private static func train(_ text: [UInt8], _ ends: [Int], pieceCount: Int32, coverage: Double) throws -> [UInt8] {
    var message = [CChar](repeating: 0, count: 512)
    var bytes: UnsafeMutablePointer<UInt8>?
    var length = 0
    let status = text.withUnsafeBytes { text in
      message.withUnsafeMutableBufferPointer { message in
        csp_train_unigram(
          text.baseAddress?.assumingMemoryBound(to: CChar.self), ends, ends.count, pieceCount, coverage, &bytes,
          &length, message.baseAddress, message.count)
      }
    }
    guard status == CSP_OK, let bytes else {
      let reason = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw TokenizationError.untrainable(
        pieces: Int(pieceCount), reason: readable(String(decoding: reason, as: UTF8.self)))
    }
    defer { csp_free_bytes(bytes) }
    return Array(UnsafeBufferPointer(start: bytes, count: length))
  }

  /// The library's sentence without the place in its source and the condition: what follows the last bracket.
  private static func readable(_ reason: String) -> String {
    let end = reason.range(of: "] ", options: .backwards)?.upperBound ?? reason.startIndex
    let sentence = reason[end...].trimmingCharacters(in: .whitespaces)
    return sentence.isEmpty ? reason : sentence
  }
}
