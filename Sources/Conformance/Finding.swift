import Foundation
import TensorCore

/// How far a number may be from the reference: `|Δ| ≤ absolute + relative · |expected|`.
public struct Tolerance: Sendable, Equatable {
  public let absolute: Double
  public let relative: Double

  public init(absolute: Double = 0, relative: Double = 0) {
    self.absolute = absolute
    self.relative = relative
  }

  public static let exact = Tolerance()

  func allowed(_ expected: Double) -> Double { absolute + relative * abs(expected) }

  /// For instance `6.2e-06 + 1e-03·|x|`.
  var text: String {
    let terms =
      (absolute != 0 || relative == 0 ? [scientific(absolute)] : [])
      + (relative != 0 ? ["\(scientific(relative))·|x|"] : [])
    return terms.joined(separator: " + ")
  }
}

/// One quantity of a case: all that was compared under one name, and the largest difference met.
///
/// This is the only place where numbers are compared. NaN never passes, and neither does a quantity of which nothing
/// was compared.
public struct Finding: Sendable {
  public let quantity: String
  public let tolerance: Tolerance
  public private(set) var comparedCount = 0
  public private(set) var failureCount = 0
  /// NaN once a difference was NaN.
  public private(set) var largestDifference = 0.0
  /// Where and how the first comparison failed.
  public private(set) var firstFailure: String?

  public init(_ quantity: String, _ tolerance: Tolerance = .exact) {
    self.quantity = quantity
    self.tolerance = tolerance
  }

  public var agrees: Bool { failureCount == 0 && comparedCount > 0 }

  /// Compares two numbers; equal infinities agree.
  public mutating func compare(_ found: Double, _ expected: Double, at place: @autoclosure () -> String) {
    comparedCount += 1
    let difference = found == expected ? 0 : abs(found - expected)
    if !(difference <= largestDifference) && !largestDifference.isNaN { largestDifference = difference }
    let allowed = tolerance.allowed(expected)
    // Of an infinite reference any difference would be within a relative tolerance.
    if found == expected || (expected.isFinite && difference <= allowed) { return }
    note(
      "\(place()): expected \(expected), found \(found), |Δ| \(scientific(difference)) > \(scientific(allowed))"
    )
  }

  /// Compares two lists of numbers, one by one; lists of different lengths disagree.
  public mutating func compare(_ found: [Double], _ expected: [Double], at place: String) {
    guard found.count == expected.count else {
      return fail("\(place): expected \(expected.count) numbers, found \(found.count)")
    }
    for index in expected.indices { compare(found[index], expected[index], at: "\(place)[\(index)]") }
  }

  /// Compares every element; tensors of different shapes disagree.
  public mutating func compare(_ found: Tensor, _ expected: Tensor, at name: String) {
    guard found.shape == expected.shape else {
      return fail("\(name): expected shape \(expected.shape), found \(found.shape)")
    }
    let (foundElements, expectedElements) = (found.buffer, expected.buffer)
    for index in expectedElements.indices {
      compare(
        Double(foundElements[index]), Double(expectedElements[index]),
        at: "\(name)\(Self.position(index, in: expected.shape))")
    }
  }

  /// Compares values that are equal or not.
  public mutating func compare<Value: Equatable>(
    exactly found: Value, _ expected: Value, at place: @autoclosure () -> String
  ) {
    comparedCount += 1
    guard found != expected else { return }
    note("\(place()): expected \(shortened("\(expected)")), found \(shortened("\(found)"))")
  }

  /// Compares two sets of names in both directions.
  public mutating func compare(names found: some Sequence<String>, _ expected: some Sequence<String>) {
    let (found, expected) = (Set(found), Set(expected))
    comparedCount += found.union(expected).count
    for name in expected.subtracting(found).sorted() { note("'\(name)' is missing") }
    for name in found.subtracting(expected).sorted() { note("'\(name)' is not in the reference") }
  }

  /// Counts a comparison that could not be made.
  public mutating func fail(_ reason: String) {
    comparedCount += 1
    note(reason)
  }

  /// Adds the comparisons of another finding of the same kind, made at `place`.
  mutating func merge(_ other: Finding, at place: String) {
    comparedCount += other.comparedCount
    failureCount += other.failureCount
    if !(other.largestDifference <= largestDifference) && !largestDifference.isNaN {
      largestDifference = other.largestDifference
    }
    if firstFailure == nil { firstFailure = other.firstFailure.map { "\(place), \($0)" } }
  }

  private mutating func note(_ failure: @autoclosure () -> String) {
    failureCount += 1
    if firstFailure == nil { firstFailure = failure() }
  }

  /// The indices of element `index` of a row-major array, as `[2, 0, 17]`.
  static func position(_ index: Int, in shape: [Int]) -> String {
    var (rest, indices) = (index, [Int]())
    for size in shape.reversed() {
      indices.append(rest % max(size, 1))
      rest /= max(size, 1)
    }
    return "\(Array(indices.reversed()))"
  }
}

extension Finding {
  /// `logits 1.2e-06 (≤ 1e-04)`, or `ids 300 of 300` for what must be equal.
  var summary: String {
    if comparedCount == 0 { return "\(quantity) nothing compared" }
    if tolerance == .exact { return "\(quantity) \(comparedCount - failureCount) of \(comparedCount)" }
    return "\(quantity) \(scientific(largestDifference)) (≤ \(tolerance.text))"
  }

  /// What is wrong, nil if nothing is.
  var complaint: String? {
    if comparedCount == 0 { return "\(quantity): the reference has nothing to compare with" }
    return firstFailure.map { "\(quantity): \($0) (\(failureCount) of \(comparedCount) disagree)" }
  }
}

/// Two significant digits, as `6.2e-06` and `1e-04`.
func scientific(_ value: Double) -> String {
  guard value != 0 else { return "0" }
  let text = String(format: "%.1e", value)
  return text.replacingOccurrences(of: ".0e", with: "e")
}

private func shortened(_ text: String) -> String { text.count <= 200 ? text : "\(text.prefix(200))…" }
