import Crypto
import Diagnostics
import Foundation

/// SHA-256 of the contents of a file, as 64 hexadecimal digits.
/// - Throws: `CheckpointError` if it cannot be read.
public func sha256(of url: URL) throws -> String { try MappedFile(url).withBytes { sha256($0) } }

/// SHA-256 of bytes in memory, as 64 hexadecimal digits. Those of a mapped file come from a disk, which may be slow: every few
/// megabytes are a sign of progress.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
  var hash = SHA256()
  for start in stride(from: 0, to: bytes.count, by: diskPieceSize) {
    let end = min(start + diskPieceSize, bytes.count)
    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
    PhaseBoard.tick()
  }
  return hash.finalize().hexadecimal
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
