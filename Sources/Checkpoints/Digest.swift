import Crypto
import Foundation

/// SHA-256 of the contents of a file, as 64 hexadecimal digits.
/// - Throws: `CheckpointError` if it cannot be read.
public func sha256(of url: URL) throws -> String { try MappedFile(url).withBytes { sha256($0) } }

/// SHA-256 of bytes in memory, as 64 hexadecimal digits.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
  var hash = SHA256()
  hash.update(bufferPointer: bytes)
  return hash.finalize().hexadecimal
}

extension SHA256.Digest {
  /// The digest as 64 hexadecimal digits.
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
