import CKernels
import Foundation
import TensorCore

/// Adam with decoupled weight decay, or with the decay in the gradient (`kind == .adam`).
///
/// ```
/// p *= 1 - rate * decay                      (adamw)        g += decay * p   (adam)
/// m = beta1 m + (1 - beta1) g                v = beta2 v + (1 - beta2) g^2
/// p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
/// ```
/// fp32 as in PyTorch, bias corrections in double. State: `exp_avg/i` (m), `exp_avg_sq/i` (v), shaped like tensor i.
///
/// Sources: Kingma & Ba 2015; Loshchilov & Hutter 2019, algorithm 2; `torch.optim.AdamW`.
public final class AdamW: Optimizer {
  public var updateCount = 0
  private let configuration: OptimizerConfiguration
  private let shapes: [[Int]]
  private let weightDecays: [Float]
  private let means: [Tensor]
  private let squares: [Tensor]

  init(_ configuration: OptimizerConfiguration, shapes: [[Int]], weightDecays: [Float]) {
    self.configuration = configuration
    self.shapes = shapes
    self.weightDecays = weightDecays
    means = shapes.map { Tensor(zeros: $0) }
    squares = shapes.map { Tensor(zeros: $0) }
  }

  public var state: [(name: String, tensor: Tensor)] {
    shapes.indices.flatMap { [("exp_avg/\($0)", means[$0]), ("exp_avg_sq/\($0)", squares[$0])] }
  }

  public func update(parameters: [Tensor], gradients: [Tensor], rates: [Float]) {
    checkCounts(parameters, gradients, rates, shapes: shapes)
    updateCount += 1
    for index in shapes.indices {
      let parameter = parameters[index]
      var gradient = gradients[index]
      var factors = factors(rate: rates[index])
      if configuration.kind == .adamw {
        factors.decay = weightDecays[index]
      } else if weightDecays[index] != 0 {
        gradient = gradient.copy()
        k_accumulate(gradient.pointer, parameter.pointer, weightDecays[index], parameter.count)
      }
      k_adamw(
        parameter.pointer, means[index].pointer, squares[index].pointer, gradient.pointer, parameter.count,
        &factors)
    }
  }

  /// The constants of update number `updateCount`, without decay.
  private func factors(rate: Float) -> adamw_factors {
    let beta1 = configuration.beta1, beta2 = configuration.beta2, t = Double(updateCount)
    return adamw_factors(
      rate: rate, beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(configuration.epsilon), decay: 0,
      correction1: Float(1 - Portable.pow(beta1, t)), correction2: Float(1 - Portable.pow(beta2, t)),
      complement1: Float(1 - beta1), complement2: Float(1 - beta2))
  }
}
