import CKernels
import TensorCore

/// Stochastic gradient descent, with momentum if asked for.
///
/// ```
/// g += decay * p
/// b = g at the first update, then momentum * b + (1 - dampening) g
/// p -= rate * (nesterov ? g + momentum * b : b)          without momentum: p -= rate * g
/// ```
/// State: `momentum_buffer/i` (b), shaped like tensor i, only with momentum.
///
/// Sources: Sutskever et al. 2013; `torch.optim.SGD`.
public final class SGD: Optimizer {
  public var updateCount = 0
  private let configuration: OptimizerConfiguration
  private let shapes: [[Int]]
  private let weightDecays: [Float]
  private let buffers: [Tensor]

  init(_ configuration: OptimizerConfiguration, shapes: [[Int]], weightDecays: [Float]) {
    self.configuration = configuration
    self.shapes = shapes
    self.weightDecays = weightDecays
    buffers = configuration.momentum == 0 ? [] : shapes.map { Tensor(zeros: $0) }
  }

  public var state: [(name: String, tensor: Tensor)] {
    buffers.indices.map { ("momentum_buffer/\($0)", buffers[$0]) }
  }

  public func update(parameters: [Tensor], gradients: [Tensor], rates: [Float]) {
    checkCounts(parameters, gradients, rates, shapes: shapes)
    updateCount += 1
    for index in shapes.indices {
      let parameter = parameters[index]
      let direction = gradients[index].copy()
      if weightDecays[index] != 0 {
        k_accumulate(direction.pointer, parameter.pointer, weightDecays[index], parameter.count)
      }
      if !buffers.isEmpty { addMomentum(to: direction, buffer: buffers[index]) }
      k_accumulate(parameter.pointer, direction.pointer, -rates[index], parameter.count)
    }
  }

  /// Updates the buffer by the gradient in `direction`, and makes `direction` what the parameter moves along.
  private func addMomentum(to direction: Tensor, buffer: Tensor) {
    let count = buffer.count, momentum = Float(configuration.momentum)
    if updateCount == 1 {
      buffer.copyElements(from: direction)
    } else {
      k_scale(buffer.pointer, momentum, count)
      k_accumulate(buffer.pointer, direction.pointer, Float(1 - configuration.dampening), count)
    }
    if configuration.nesterov {
      k_accumulate(direction.pointer, buffer.pointer, momentum, count)
    } else {
      direction.copyElements(from: buffer)
    }
  }
}
