import Foundation

/// An error that says in one place what was being done, to which file, key or rank, what was expected, what was
/// found, and the way out; it reads the same as `"\(error)"` and as `localizedDescription`.
public protocol DescribedError: LocalizedError, CustomStringConvertible, Sendable {}

extension DescribedError {
  public var errorDescription: String? { description }
}
