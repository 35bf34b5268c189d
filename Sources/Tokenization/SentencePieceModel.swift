import CSentencePiece
import Diagnostics
import Foundation

/// A loaded `spiece.model`: its vocabulary, and encoding and decoding as the SentencePiece library does them.
public final class SentencePieceModel: @unchecked Sendable {
  // Unchecked: the handle is never changed after loading, and the C face allows concurrent reading.
  private let handle: OpaquePointer
  /// Number of pieces.
  public let count: Int

  /// - Throws: `TokenizationError.missingFile`, `.unreadable` or `.corruptModel`.
  public convenience init(contentsOf url: URL) throws {
    guard try TokenizerFiles.exists(url) else { throw TokenizationError.missingFile(url) }
    let bytes: Data
    do { bytes = try FileContents.read(url.path) } catch {
      throw TokenizationError.unreadable(url, reason: "\(error)")
    }
    guard !GitLFSPointer.isPointer(bytes) else {
      throw TokenizationError.unreadable(url, reason: GitLFSPointer.reason)
    }
    try self.init(bytes: [UInt8](bytes), name: url.path)
  }

  /// A model held in memory; `name` is what error messages call it.
  ///
  /// - Throws: `TokenizationError.corruptModel`.
  public init(bytes: [UInt8], name: String) throws {
    var loaded: OpaquePointer?
    let (status, message) = Self.withMessage { csp_load_memory(bytes, bytes.count, &loaded, $0, $1) }
    guard status == CSP_OK, let loaded else {
      throw TokenizationError.corruptModel(URL(fileURLWithPath: name), reason: message)
    }
    handle = loaded
    count = Int(csp_piece_count(loaded))
  }

  deinit { csp_free(handle) }

  /// Kinds of pieces, numbered as in `sentencepiece_model.proto`.
  public enum PieceKind: UInt32, Sendable {
    case normal = 1, unknown, control, userDefined, unused, byte
  }

  /// UTF-8 of a piece; empty for an id outside the vocabulary.
  public func pieceBytes(_ id: Int32) -> [UInt8] {
    var length = 0
    guard let text = csp_piece_text(handle, id, &length) else { return [] }
    return [UInt8](UnsafeRawBufferPointer(start: text, count: length))
  }

  public func piece(_ id: Int32) -> String { String(decoding: pieceBytes(id), as: UTF8.self) }

  /// The id of a piece, or nil if the vocabulary has no such piece.
  public func id(of piece: String) -> Int32? {
    var piece = piece
    let found = piece.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { csp_piece_id(handle, $0.baseAddress, $0.count) }
    }
    return found < 0 ? nil : found
  }

  /// Log-probability of a piece.
  public func score(_ id: Int32) -> Float { csp_piece_score(handle, id) }

  public func kind(_ id: Int32) -> PieceKind {
    PieceKind(rawValue: UInt32(csp_piece_type(handle, id).rawValue)) ?? .unused
  }

  /// The normaliser's character map, as stored in the model.
  public var characterMap: [UInt8] {
    var length = 0
    guard let bytes = csp_character_map(handle, &length) else { return [] }
    return [UInt8](UnsafeBufferPointer(start: bytes, count: length))
  }

  /// Ids as the library gives them: its own normaliser, no special tokens.
  public func encode(_ text: String) throws -> [Int32] {
    var text = text
    return try text.withUTF8 { utf8 in
      try utf8.withMemoryRebound(to: CChar.self) { input in
        try Self.collect(0 as Int32, capacity: input.count + 8, doing: "encoding text") {
          csp_encode(handle, input.baseAddress, input.count, $0, $1, $2, $3, $4)
        }
      }
    }
  }

  /// Text as the library gives it.
  ///
  /// - Throws: `TokenizationError.library` when an id is outside the vocabulary.
  public func decode(_ ids: [Int32]) throws -> String {
    let text = try Self.collect(0 as CChar, capacity: 16 * ids.count + 16, doing: "decoding ids") {
      csp_decode(handle, ids, ids.count, $0, $1, $2, $3, $4)
    }
    return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Calls `body` with an output buffer, a second time with a larger one if the first was too small.
  private static func collect<Element>(
    _ zero: Element, capacity: Int, doing: String,
    _ body: (
      UnsafeMutablePointer<Element>?, Int, UnsafeMutablePointer<Int>?, UnsafeMutablePointer<CChar>?, Int
    ) -> csp_status
  ) throws -> [Element] {
    var output = [Element](repeating: zero, count: capacity)
    var needed = 0
    func attempt() -> (csp_status, String) {
      withMessage { text, size in
        output.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count, &needed, text, size) }
      }
    }
    var (status, message) = attempt()
    if status == CSP_TOO_SMALL {
      output = [Element](repeating: zero, count: needed)
      (status, message) = attempt()
    }
    guard status == CSP_OK else { throw TokenizationError.library(doing: doing, reason: message) }
    return Array(output.prefix(needed))
  }

  private static func withMessage(
    _ body: (UnsafeMutablePointer<CChar>?, Int) -> csp_status
  ) -> (csp_status, String) {
    var buffer = [CChar](repeating: 0, count: 512)
    let status = buffer.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count) }
    let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return (status, withoutSource(String(decoding: text, as: UTF8.self)))
  }

  /// The library's message without the line of its source: `./src/trainer_interface.cc(67) [condition] text`.
  private static func withoutSource(_ message: String) -> String {
    guard let match = message.wholeMatch(of: /(?s)\S+\.cc\(\d+\) \[(.*?)\]\s*(.*)/) else { return message }
    return match.2.isEmpty ? "\(match.1) does not hold" : String(match.2)
  }
}
