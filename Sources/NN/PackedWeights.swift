import Autograd
import Foundation
import TensorCore

/// The frozen projections of a model packed for oneDNN's bfloat16 products, once for each direction, shared by the ranks of a
/// node.
public final class PackedWeights: Sendable {
  private let projections: [ObjectIdentifier: PackedProjection]

  /// The packed form of a projection's weight, nil if it is not among those packed.
  public func projection(_ weight: Parameter) -> PackedProjection? { projections[ObjectIdentifier(weight)] }

  /// Maps the packed weights of `linears`, made first if need be.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  ///   - isChecked: whether another rank of this node has compared what is there with its digest.
  /// - Throws: `PackingError`.
  public init(_ linears: [Linear], identity: String, directory: URL, isChecked: Bool = false) throws {
    var seen: Set<ObjectIdentifier> = []
    let packed = linears.filter { seen.insert(ObjectIdentifier($0.weight)).inserted }
    let cache = try WeightCache(
      try packed.flatMap { linear in
        let isOutputByInput = linear.layout == .outputByInput
        return [
          try Self.part(linear.weight.value, transposed: isOutputByInput, k: linear.inputSize, n: linear.outputSize),
          try Self.part(linear.weight.value, transposed: !isOutputByInput, k: linear.outputSize, n: linear.inputSize),
        ]
      }, name: "\(identity.prefix(32))-onednn-\(MatrixBackend.oneDNNVersion ?? "none")-avx512-bf16", extension: "bf16",
      directory: directory,
      isChecked: isChecked)
    var projections: [ObjectIdentifier: PackedProjection] = [:]
    for (index, linear) in packed.enumerated() {
      let (inputs, outputs) = (linear.inputSize, linear.outputSize)
      projections[ObjectIdentifier(linear.weight)] = PackedProjection(
        forward: try PackedMatrix(packed: cache.starts[2 * index], k: inputs, n: outputs, owner: cache),
        backward: try PackedMatrix(packed: cache.starts[2 * index + 1], k: outputs, n: inputs, owner: cache))
    }
    self.projections = projections
  }

  private static func part(_ weight: Tensor, transposed: Bool, k: Int, n: Int) throws -> WeightCache.Part {
    WeightCache.Part(byteCount: try PackedMatrix.byteCount(k: k, n: n)) { target in
      try PackedMatrix.pack(weight, transposed: transposed, k: k, n: n, into: target)
    }
  }
}
