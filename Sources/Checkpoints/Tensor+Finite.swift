import TensorCore

extension Tensor {
  /// Refuses values that are not finite: whatever they touch becomes undefined without a word.
  ///
  /// - Throws: `CheckpointError.badTensor` naming the first of them.
  public func requireFinite(path: String, name: String) throws {
    guard let index = (0..<count).first(where: { !pointer[$0].isFinite }) else { return }
    let others = (index + 1..<count).count { !pointer[$0].isFinite }
    throw CheckpointError.badTensor(
      path: path, tensor: name,
      reason: "its value \(index) is \(pointer[index])" + (others == 0 ? "" : ", as \(others) others are not finite")
        + "; the training that wrote it had diverged, or the file is damaged")
  }
}
