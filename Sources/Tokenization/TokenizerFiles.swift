import Diagnostics
import Foundation

/// The files of a tokenizer's folder.
enum TokenizerFiles {
  /// Whether there is such a file.
  ///
  /// - Throws: `TokenizationError.unreadable` for a link to nothing.
  static func exists(_ url: URL) throws -> Bool {
    switch FilePresence(url) {
    case .absent: return false
    case .present: return true
    case .brokenLink(let target):
      throw TokenizationError.unreadable(
        url, reason: "it is a link to \(target), which does not exist; fetch the file again")
    }
  }

  /// What a file holds, or nil if there is no such file.
  ///
  /// - Throws: `TokenizationError.unreadable`, also for what is not UTF-8.
  static func bytes(at url: URL) throws -> [UInt8]? {
    guard try exists(url) else { return nil }
    let data: Data
    do { data = try FileContents.read(url.path) } catch {
      throw TokenizationError.unreadable(url, reason: "\(error)")
    }
    let bytes = [UInt8](data)
    guard !GitLFSPointer.isPointer(bytes) else {
      throw TokenizationError.unreadable(url, reason: GitLFSPointer.reason)
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw TokenizationError.unreadable(url, reason: "it is not UTF-8 text; fetch the file again")
    }
    return bytes
  }

  /// The lines of a file without their ends, or nil if there is no such file.
  static func lines(at url: URL) throws -> [ArraySlice<UInt8>]? {
    guard let bytes = try bytes(at: url) else { return nil }
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { $0.last == 0x0D ? $0.dropLast() : $0 }
  }
}
