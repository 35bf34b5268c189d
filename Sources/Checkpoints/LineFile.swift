import Diagnostics
import Foundation

/// A file of lines: bytes between line feeds. What the bytes say is the reader's business, so a damaged line is one damaged
/// line and never the end of the file.
public struct LineFile {
  public struct Line {
    /// From 1.
    public let number: Int
    public let bytes: [UInt8]
    /// Whether a line feed follows; a writer that was killed leaves a last line without.
    public let isWhole: Bool
  }

  /// Lines with something in them.
  public let lines: [Line]

  /// - Throws: `CheckpointError` if there is a file that cannot be read; no file has no lines.
  public init(_ url: URL) throws {
    guard FileManager.default.fileExists(atPath: url.path) else {
      lines = []
      return
    }
    let data: Data
    do { data = try FileContents.read(url.path) } catch {
      throw CheckpointError.unreadable(path: url.path, reason: "\(error)")
    }
    let parts = data.split(separator: 0x0A, omittingEmptySubsequences: false)
    lines = parts.enumerated().compactMap { index, bytes in
      bytes.isEmpty ? nil : Line(number: index + 1, bytes: Array(bytes), isWhole: index + 1 < parts.count)
    }
  }

  /// Lines that cannot be read, in words: "line 4 is damaged", "lines 4, 6, 9 and 1000 more are damaged".
  public static func sentence(damaged numbers: [Int]) -> String {
    if numbers.count == 1 { return "line \(numbers[0]) is damaged" }
    let named = numbers.prefix(3).map(String.init).joined(separator: ", ")
    return "lines \(named)" + (numbers.count > 3 ? " and \(numbers.count - 3) more" : "") + " are damaged"
  }
}
