import Foundation

/// A regular expression over the paths of modules, as Python's `re` reads it: by code points.
///
/// Matching is a bounded work: an expression that goes back and forth over a path for ever is an error.
struct PythonExpression {
  private let expression: NSRegularExpression
  private let pattern: String
  private let option: String

  /// Times that the library reports progress in one match, each about 0.2 ms; a match of a usual expression ends before the first.
  private static let mostReports = 2000

  /// - Parameter isWhole: a match is one from end to end (`re.fullmatch`), else one from the start (`re.match`).
  /// - Throws: `MethodError.badOption`: the pattern is none.
  init(_ pattern: String, option: String, isWhole: Bool = true) throws {
    (self.pattern, self.option) = (pattern, option)
    let own = pattern.replacing("(?P<", with: "(?<")
    guard pattern.utf8.count <= 10_000,
      let expression = try? NSRegularExpression(pattern: isWhole ? "(?:\(own))\\z" : own)
    else {
      throw MethodError.badOption(
        option: option, value: "'\(pattern)'", expected: "a valid regular expression of at most 10,000 bytes")
    }
    self.expression = expression
  }

  func matches(_ path: String) throws -> Bool { try match(path) != nil }

  /// The last group of the match; nil where nothing matches or it has none.
  func lastGroup(_ path: String) throws -> Substring? {
    guard let match = try match(path), match.numberOfRanges > 1 else { return nil }
    return Range(match.range(at: match.numberOfRanges - 1), in: path).map { path[$0] }
  }

  private func match(_ path: String) throws -> NSTextCheckingResult? {
    var (found, reports) = (NSTextCheckingResult?.none, 0)
    expression.enumerateMatches(
      in: path, options: [.anchored, .reportProgress], range: NSRange(path.startIndex..., in: path)
    ) { match, _, stop in
      if let match {
        found = match
        stop.pointee = true
      } else {
        reports += 1
        if reports > Self.mostReports { stop.pointee = true }
      }
    }
    guard reports <= Self.mostReports else {
      throw MethodError.badOption(
        option: option, value: "'\(pattern)'",
        expected: "an expression that matches in bounded time: on '\(path)' this one goes back and forth for ever")
    }
    return found
  }
}
