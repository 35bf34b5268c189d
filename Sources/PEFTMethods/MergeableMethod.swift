import NN
import TensorCore

/// Which way a merge goes.
public enum MergeDirection: Sendable {
  /// From the base to the tuned model.
  case merge
  /// Back: the model at hand holds the adapter already.
  case unmerge
}

/// A method whose effect a change of the base's weights can have: after that nobody needs the adapter.
public protocol MergeableMethod: PEFTMethod {
  /// The tensors of `model` that change, by name, in memory of their own; `model` itself stays as it is.
  ///
  /// Throws: `MethodError.cannotMerge` where no weights of this architecture do what the adapter does, or where the way
  /// back is lost.
  func mergedTensors(_ model: any LanguageModel, direction: MergeDirection) throws -> [String: Tensor]
}
