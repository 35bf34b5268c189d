import TensorCore

/// The update rule of the trainable tensors, with its state.
///
/// State tensors are plain tensors with names such as `exp_avg/3` (of trainable tensor number 3, from 0), so that a
/// training checkpoint can hold them. Every rank runs the same update on the same reduced gradients.
public protocol Optimizer: AnyObject {
  /// Updates applied so far; the first one counts as update 1 in bias corrections.
  var updateCount: Int { get set }

  /// Every tensor of state, in a fixed order.
  var state: [(name: String, tensor: Tensor)] { get }

  /// Adds one to `updateCount` and applies that update.
  ///
  /// - Parameters:
  ///   - parameters: changed in place; count, order and shapes as given to `makeOptimizer`.
  ///   - gradients: unscaled and clipped, of the same shapes; unchanged.
  ///   - rates: learning rate of each tensor (ignored by Adafactor with `relativeStep`).
  func update(parameters: [Tensor], gradients: [Tensor], rates: [Float])
}

extension Optimizer {
  /// Takes up where a checkpoint left off.
  ///
  /// - Parameter state: exactly the tensors that `state` lists, by name.
  /// - Throws: `OptimizerError` if one is missing, too many, or of another shape; then nothing has changed.
  public func restore(updateCount: Int, state restored: [String: Tensor]) throws {
    let own = state
    let known = Set(own.map(\.name))
    if let unknown = restored.keys.filter({ !known.contains($0) }).min() {
      throw OptimizerError.unknownState(name: unknown, expected: own.map(\.name))
    }
    for (name, tensor) in own {
      guard let other = restored[name] else { throw OptimizerError.missingState(name: name) }
      guard other.shape == tensor.shape else {
        throw OptimizerError.wrongShape(name: name, expected: tensor.shape, found: other.shape)
      }
    }
    for (name, tensor) in own {
      if let other = restored[name] { tensor.copyElements(from: other) }
    }
    self.updateCount = updateCount
  }

  /// A programmer's mistake otherwise: tensors other than those the optimizer was made for.
  func checkCounts(_ parameters: [Tensor], _ gradients: [Tensor], _ rates: [Float], shapes: [[Int]]) {
    precondition(
      parameters.map(\.shape) == shapes && gradients.map(\.shape) == shapes && rates.count == shapes.count,
      "optimizer made for \(shapes), got parameters \(parameters.map(\.shape)), "
        + "gradients \(gradients.map(\.shape)), \(rates.count) rates")
  }
}

/// Makes the optimizer that `configuration` describes, with zero state.
///
/// - Parameters:
///   - shapes: shape of each trainable tensor, in the order of every later update.
///   - weightDecays: weight decay of each of them (0 for biases and norm weights, where that is wanted);
///     `configuration.weightDecay` is not looked at.
public func makeOptimizer(
  _ configuration: OptimizerConfiguration, shapes: [[Int]], weightDecays: [Float]
) -> any Optimizer {
  precondition(
    shapes.count == weightDecays.count, "\(shapes.count) shapes, \(weightDecays.count) weight decays")
  switch configuration.kind {
  case .adamw, .adam: return AdamW(configuration, shapes: shapes, weightDecays: weightDecays)
  case .sgd: return SGD(configuration, shapes: shapes, weightDecays: weightDecays)
  case .adafactor: return Adafactor(configuration, shapes: shapes, weightDecays: weightDecays)
  }
}
