import CKernels

/// Random numbers as a pure function of a key and a counter: Philox4x32-10 (Salmon et al. 2011).
///
/// Nothing is drawn in sequence and nothing has to be saved: the value for (seed, purpose, step, site, index) is the
/// same on every rank, on every thread, and after a resume.
public struct CounterGenerator: Sendable {
  /// What the numbers are for; equal counters of two purposes are unrelated.
  public enum Purpose: UInt32, Sendable {
    case initialization = 1
    case shuffle = 2
    case dropout = 3
    case split = 4
    case sampling = 5
    case bench = 6
    /// What an objective for pre-training hides.
    case objective = 7
    /// Weights of a model that has learned nothing yet.
    case freshModel = 8
    /// Alternatives of a grammar's rules.
    case text = 9
  }

  /// The Philox key, a mix of seed, purpose, step and site.
  public let key: UInt64

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - step: optimizer step, epoch, or another count of the purpose's own.
  ///   - site: place within the step, such as the dropout site or the parameter's number.
  public init(seed: UInt64, purpose: Purpose, step: UInt64 = 0, site: UInt32 = 0) {
    let words = Self.words(
      counter: (UInt32(truncatingIfNeeded: step), UInt32(truncatingIfNeeded: step >> 32), site, purpose.rawValue),
      key: seed)
    key = UInt64(words.0) | UInt64(words.1) << 32
  }

  /// A generator for one site within this one, such as an attention head.
  public init(parent: CounterGenerator, site: UInt32) {
    let words = Self.words(counter: (site, 0, 0, 0x5349_5445), key: parent.key)
    key = UInt64(words.0) | UInt64(words.1) << 32
  }

  /// The 64 random bits at `index`.
  public func bits(at index: UInt64) -> UInt64 {
    let words = Self.words(
      counter: (UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32), 0, 1), key: key)
    return UInt64(words.0) | UInt64(words.1) << 32
  }

  /// Uniform in [0, 1), 53 random bits.
  public func uniform(at index: UInt64) -> Double { Double(bits(at: index) >> 11) * 0x1p-53 }

  /// Uniform in 0 ..< bound, by the high half of a 128-bit product (bias below bound / 2^64).
  public func integer(at index: UInt64, below bound: Int) -> Int {
    Int(bits(at: index).multipliedFullWidth(by: UInt64(bound)).high)
  }

  static func words(counter: (UInt32, UInt32, UInt32, UInt32), key: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
    var output: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    withUnsafeBytes(of: counter) { source in
      withUnsafeMutableBytes(of: &output) { destination in
        guard let from = source.baseAddress, let to = destination.baseAddress else { return }
        k_philox(
          from.assumingMemoryBound(to: UInt32.self), key, to.assumingMemoryBound(to: UInt32.self))
      }
    }
    return output
  }
}
