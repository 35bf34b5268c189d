import TensorCore

/// Tensors that several modules share, and that a checkpoint may hold under any of their names, or several times.
///
/// What is there under a name of its own with other values is a tensor of its own; where the first name is missing, the next one
/// that is there stands for it. Source: transformers 5 `modeling_utils.py`, `tie_weights`.
extension WeightSource {
  /// - Parameters:
  ///   - first: the name that the others are tied to.
  ///   - others: in the order in which they are tied.
  /// - Returns: the tensor under `first`, zeros if it is under no name, and those of the others that differ from it.
  public func tied(_ first: String, _ others: [String], _ shape: [Int]) -> (shared: Tensor, own: [String: Tensor]) {
    let shared = tensor(first, shape, aliases: others)
    var own: [String: Tensor] = [:]
    for name in others where scope().contains(name) {
      let found = tensor(name, shape)
      if !found.hasSameBytes(as: shared) { own[name] = found }
    }
    return (shared, own)
  }
}
