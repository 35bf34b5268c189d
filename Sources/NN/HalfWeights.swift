import Autograd
import CKernels
import Diagnostics
import Foundation
import TensorCore

/// The frozen projections of a model in fp16, shared by the ranks of a node as `PackedWeights` are.
public final class HalfWeights: Sendable {
  private let matrices: [ObjectIdentifier: HalfMatrix]

  /// The stored form of a projection's weight, nil if it is not among those stored.
  public func matrix(_ weight: Parameter) -> HalfMatrix? { matrices[ObjectIdentifier(weight)] }

  /// Maps the weights of `linears`, all but those that stay in fp32, rounded first if need be.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  /// Throws: `PackingError`; so where a weight has an entry that fp16 cannot hold.
  public init(_ linears: [Linear], identity: String, directory: URL) throws {
    var seen: Set<ObjectIdentifier> = []
    let weights = linears.filter { !$0.keepsFP32 && seen.insert(ObjectIdentifier($0.weight)).inserted }.map(\.weight)
    let parts = weights.map { weight in
      WeightCache.Part(byteCount: HalfMatrix.byteCount(rows: weight.value.rows, width: weight.value.width)) { target in
        let largest = k_max_abs(weight.value.pointer, weight.count)
        guard largest <= HalfMatrix.largest else {
          throw PackingError.beyondFP16(weight: weight.name, largest: largest)
        }
        HalfMatrix.store(weight.value, into: target)
      }
    }
    let cache = try WeightCache(parts, name: String(identity.prefix(32)), extension: "fp16", directory: directory)
    var matrices: [ObjectIdentifier: HalfMatrix] = [:]
    for (weight, start) in zip(weights, cache.starts) {
      let bits = start.assumingMemoryBound(to: UInt16.self)
      matrices[ObjectIdentifier(weight)] = HalfMatrix(
        bits: bits, rows: weight.value.rows, width: weight.value.width, owner: cache)
    }
    self.matrices = matrices
  }
}
