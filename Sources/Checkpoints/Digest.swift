import Crypto
import Diagnostics
import Foundation

/// SHA-256 of the contents of a file, as 64 hexadecimal digits.
/// - Throws: `CheckpointError` if it cannot be read.
public func sha256(of url: URL) throws -> String { try MappedFile(url).withBytes { sha256($0) } }

/// SHA-256 of bytes in memory, as 64 hexadecimal digits.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
  var hash = SHA256()
  hash.update(mapped: bytes)
  return hash.finalize().hexadecimal
}

extension SHA256 {
  /// Takes up bytes that may be those of a mapped file and come from a slow disk: every few megabytes are a sign of progress.
  mutating func update(mapped bytes: UnsafeRawBufferPointer) {
    for start in stride(from: 0, to: bytes.count, by: diskPieceSize) {
      let end = min(start + diskPieceSize, bytes.count)
      update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
      PhaseBoard.tick()
    }
  }
}

/// Bytes that even a slow disk reads or writes well within any time-out.
let diskPieceSize = 4 << 20

extension SHA256.Digest {
  /// The digest as 64 hexadecimal digits.
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
