import Autograd
import CKernels
import Diagnostics
import Foundation
import TensorCore

/// The frozen projections of a model in 16 bits a number, shared by the ranks of a node as `PackedWeights` are.
public final class HalfWeights: Sendable {
  public let format: HalfFormat
  private let matrices: [ObjectIdentifier: HalfMatrix]

  /// The stored form of a projection's weight, nil if it is not among those stored.
  public func matrix(_ weight: Parameter) -> HalfMatrix? { matrices[ObjectIdentifier(weight)] }

  /// Maps the weights of `linears`, in fp16 all but those that stay in fp32, rounded first if need be.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  ///   - isChecked: whether another rank of this node has compared what is there with its digest.
  /// - Throws: `PackingError`; so where a weight has an entry that the format cannot hold.
  public init(_ linears: [Linear], format: HalfFormat, identity: String, directory: URL, isChecked: Bool = false) throws
  {
    var seen: Set<ObjectIdentifier> = []
    let weights = linears.filter {
      !(format == .fp16 && $0.keepsFP32) && seen.insert(ObjectIdentifier($0.weight)).inserted
    }.map(\.weight)
    let parts = weights.map { weight in
      WeightCache.Part(byteCount: HalfMatrix.byteCount(rows: weight.value.rows, width: weight.value.width)) { target in
        let largest = k_max_abs(weight.value.pointer, weight.count)
        guard largest <= format.largest else {
          throw PackingError.beyondRange(weight: weight.name, largest: largest, format: format)
        }
        HalfMatrix.store(weight.value, as: format, into: target)
      }
    }
    let cache = try WeightCache(
      parts, name: String(identity.prefix(32)), extension: "\(format)", directory: directory, isChecked: isChecked)
    var matrices: [ObjectIdentifier: HalfMatrix] = [:]
    for (weight, start) in zip(weights, cache.starts) {
      let bits = start.assumingMemoryBound(to: UInt16.self)
      matrices[ObjectIdentifier(weight)] = HalfMatrix(
        bits: bits, rows: weight.value.rows, width: weight.value.width, format: format, owner: cache)
    }
    (self.format, self.matrices) = (format, matrices)
  }
}
