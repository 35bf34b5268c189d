import Autograd
import CKernels
import Diagnostics
import Foundation
import Synchronization
import TensorCore

/// The frozen projections of a model in panels: one mapped file that the ranks of a node share, or, for a process that is
/// alone on its node, memory of its own, packed the first time a product wants a weight.
///
/// Both give the bits of products with the weights as they are, rounded to the format.
public final class PanelWeights: Sendable {
  public let precision: Precision
  /// What the mapped file holds, or has been packed so far.
  private let made: Mutex<[ObjectIdentifier: PanelMatrix]>
  /// The projections that are packed on demand, by weight.
  private let linears: [ObjectIdentifier: Linear]
  private let pool = BufferPool()

  /// Packed on demand, in memory of this process.
  ///
  /// - Throws: `PackingError` where a weight has an entry that the precision cannot hold.
  public init(_ linears: [Linear], precision: Precision) throws {
    for linear in linears { try Self.require(linear, Self.format(of: linear, precision)) }
    self.precision = precision
    self.linears = Dictionary(linears.map { (ObjectIdentifier($0.weight), $0) }) { first, _ in first }
    made = Mutex([:])
  }

  /// In a mapped file, made first if need be.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  ///   - isChecked: whether another rank of this node has compared what is there with its digest.
  /// - Throws: `PackingError`; so where a weight has an entry that the precision cannot hold.
  public init(
    _ linears: [Linear], precision: Precision, identity: String, directory: URL, isChecked: Bool = false
  ) throws {
    var seen: Set<ObjectIdentifier> = []
    let linears = linears.filter { seen.insert(ObjectIdentifier($0.weight)).inserted }
    let parts = linears.map { linear in
      let format = Self.format(of: linear, precision)
      let bytes = PanelMatrix.byteCount(outputs: linear.outputSize, inputs: linear.inputSize, format: format)
      return WeightCache.Part(byteCount: bytes) { target in
        try Self.require(linear, format)
        PanelMatrix.pack(
          linear.weight.value, isInputByOutput: linear.layout == .inputByOutput, format: format, into: target)
        linear.weight.value.releasePages()
      }
    }
    let cache = try WeightCache(
      parts, name: "\(identity.prefix(32))-panels", extension: precision.rawValue, directory: directory,
      isChecked: isChecked)
    var made: [ObjectIdentifier: PanelMatrix] = [:]
    for (linear, start) in zip(linears, cache.starts) {
      made[ObjectIdentifier(linear.weight)] = PanelMatrix(
        panels: start, outputs: linear.outputSize, inputs: linear.inputSize, format: Self.format(of: linear, precision),
        owner: cache)
    }
    self.precision = precision
    self.linears = [:]
    self.made = Mutex(made)
  }

  /// The panels of a projection's weight, nil if it is not among those packed.
  public func matrix(_ weight: Parameter) -> PanelMatrix? {
    let key = ObjectIdentifier(weight)
    return made.withLock { made in
      if let matrix = made[key] { return matrix }
      guard let linear = linears[key] else { return nil }
      let matrix = PanelMatrix(
        weight.value, isInputByOutput: linear.layout == .inputByOutput, format: Self.format(of: linear, precision),
        in: pool)
      weight.value.releasePages()
      made[key] = matrix
      return matrix
    }
  }

  /// Some projections stay in fp32 where activations are fp16.
  private static func format(of linear: Linear, _ precision: Precision) -> weight_format {
    switch precision {
    case .fp32: WEIGHT_FP32
    case .bf16: WEIGHT_BF16
    case .fp16: linear.keepsFP32 ? WEIGHT_FP32 : WEIGHT_FP16
    }
  }

  private static func require(_ linear: Linear, _ format: weight_format) throws {
    guard format != WEIGHT_FP32 else { return }
    let half: HalfFormat = format == WEIGHT_FP16 ? .fp16 : .bf16
    let largest = k_max_abs(linear.weight.value.pointer, linear.weight.count)
    guard largest <= half.largest else {
      throw PackingError.beyondRange(weight: linear.weight.name, largest: largest, format: half)
    }
  }
}
