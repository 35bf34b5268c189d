import Diagnostics
import Foundation

/// Reads whole text files that a user names.
enum TextFile {
  enum Failure: DescribedError {
    /// `what` says what the file was read as.
    case unreadable(what: String, path: String, reason: String)
    case notUTF8(what: String, path: String)

    var description: String {
      switch self {
      case .unreadable(let what, let path, let reason): "cannot read \(what) \(path): \(reason)"
      case .notUTF8(let what, let path): "\(what) \(path): the text is not valid UTF-8; convert it to UTF-8"
      }
    }
  }

  /// Far more than a person writes.
  private static let limit = 64 << 20

  /// - Throws: `Failure`.
  static func read(_ path: String, as what: String) throws -> String {
    let data: Data
    do { data = try FileContents.read(path, limit: limit, takesPipes: true) } catch {
      throw Failure.unreadable(what: what, path: path, reason: "\(error)")
    }
    guard let text = String(validating: data, as: UTF8.self) else { throw Failure.notUTF8(what: what, path: path) }
    return text
  }
}
