import CKernels
import Foundation
import TensorCore

/// Adafactor: Adam's second moment kept as row and column means, updates clipped by their root mean square.
///
/// ```
/// u = g^2 + epsilon1                         b = 1 - t^decayRate
/// at least two dimensions, [.., A, B]:       R [.., A] = b R + (1 - b) mean of u over B
///                                            C [.., B] = b C + (1 - b) mean of u over A
///                                            d = g / sqrt(R / mean of R over A) / sqrt(C)
/// fewer:                                     V = b V + (1 - b) u,  d = g / sqrt(V)
/// d *= rate / max(1, rms(d) / clipThreshold)
/// with beta1: d = M = beta1 M + (1 - beta1) d
/// p -= decay * rate * p,  p -= d
/// ```
/// rate: the one given, or with `relativeStep` min(s, 1/sqrt(t)), s = 1e-2 or with `warmupInit` 1e-6 t; with
/// `scaleParameter` times max(epsilon2, rms(p)). State and updates are kept in fp32; sums and means are taken in double,
/// in index order. State: `exp_avg_sq_row/i`, `exp_avg_sq_col/i` or `exp_avg_sq/i`; with beta1 `exp_avg/i`.
///
/// Sources: Shazeer & Stern 2018; `transformers.optimization.Adafactor`.
public final class Adafactor: Optimizer {
  public var updateCount = 0
  private let options: OptimizerConfiguration.Adafactor
  private let shapes: [[Int]]
  private let weightDecays: [Float]
  private let moments: [SecondMoment]
  private let means: [Tensor]

  private enum SecondMoment {
    case factored(rows: Tensor, columns: Tensor)
    case full(Tensor)
  }

  init(_ configuration: OptimizerConfiguration, shapes: [[Int]], weightDecays: [Float]) {
    options = configuration.adafactor
    self.shapes = shapes
    self.weightDecays = weightDecays
    moments = shapes.map { shape in
      guard shape.count >= 2 else { return .full(Tensor(zeros: shape)) }
      return .factored(
        rows: Tensor(zeros: shape.dropLast()), columns: Tensor(zeros: shape.dropLast(2) + shape.suffix(1)))
    }
    means = configuration.adafactor.beta1 == nil ? [] : shapes.map { Tensor(zeros: $0) }
  }

  public var state: [(name: String, tensor: Tensor)] {
    shapes.indices.flatMap { index in
      let mean = means.isEmpty ? [] : [("exp_avg/\(index)", means[index])]
      switch moments[index] {
      case .full(let squares): return mean + [("exp_avg_sq/\(index)", squares)]
      case .factored(let rows, let columns):
        return mean + [("exp_avg_sq_row/\(index)", rows), ("exp_avg_sq_col/\(index)", columns)]
      }
    }
  }

  public func update(parameters: [Tensor], gradients: [Tensor], rates: [Float]) {
    checkCounts(parameters, gradients, rates, shapes: shapes)
    updateCount += 1
    for index in shapes.indices where !shapes[index].contains(0) {
      let parameter = parameters[index]
      let rate = rate(given: rates[index], for: parameter)
      let direction = Tensor(zeros: shapes[index])
      normalise(gradients[index], by: moments[index], into: direction)
      let factor = rate / max(1, rootMeanSquare(direction) / options.clipThreshold)
      apply(
        direction, scaledBy: factor, to: parameter, index: index, decay: Double(weightDecays[index]) * rate)
    }
  }

  private func rate(given: Float, for parameter: Tensor) -> Double {
    let t = Double(updateCount)
    var rate = Double(given)
    if options.relativeStep { rate = min(options.warmupInit ? 1e-6 * t : 1e-2, 1 / t.squareRoot()) }
    return options.scaleParameter ? rate * max(options.epsilon2, rootMeanSquare(parameter)) : rate
  }

  /// Updates the second moment by `gradient` and writes the gradient divided by its root.
  private func normalise(_ gradient: Tensor, by moment: SecondMoment, into direction: Tensor) {
    let decay = 1 - Portable.pow(Double(updateCount), options.decayRate)
    switch moment {
    case .full(let squares):
      let g = gradient.pointer, v = squares.pointer, d = direction.pointer
      for index in 0..<gradient.count {
        let square = Double(g[index]) * Double(g[index]) + options.epsilon1
        v[index] = Float(decay * Double(v[index]) + (1 - decay) * square)
        d[index] = Float(Double(g[index]) / Double(v[index]).squareRoot())
      }
    case .factored(let rows, let columns):
      let height = gradient.shape[gradient.shape.count - 2], width = gradient.width
      for matrix in 0..<(gradient.count / (height * width)) {
        normaliseMatrix(
          gradient.pointer + matrix * height * width, rows: rows.pointer + matrix * height,
          columns: columns.pointer + matrix * width, into: direction.pointer + matrix * height * width,
          height: height, width: width, decay: decay)
      }
    }
  }

  /// One matrix [height, width] with its row and column means.
  private func normaliseMatrix(
    _ g: UnsafePointer<Float>, rows: UnsafeMutablePointer<Float>, columns: UnsafeMutablePointer<Float>,
    into d: UnsafeMutablePointer<Float>, height: Int, width: Int, decay: Double
  ) {
    var columnSums = [Double](repeating: 0, count: width)
    var meanOfRows = 0.0
    for row in 0..<height {
      var rowSum = 0.0
      for column in 0..<width {
        let value = Double(g[row * width + column])
        let square = value * value + options.epsilon1
        rowSum += square
        columnSums[column] += square
      }
      rows[row] = Float(decay * Double(rows[row]) + (1 - decay) * rowSum / Double(width))
      meanOfRows += Double(rows[row]) / Double(height)
    }
    for column in 0..<width {
      columns[column] = Float(
        decay * Double(columns[column]) + (1 - decay) * columnSums[column] / Double(height))
      columnSums[column] = 1 / Double(columns[column]).squareRoot()
    }
    for row in 0..<height {
      let rowFactor = 1 / (Double(rows[row]) / meanOfRows).squareRoot()
      for column in 0..<width {
        d[row * width + column] = Float(Double(g[row * width + column]) * rowFactor * columnSums[column])
      }
    }
  }

  /// p -= decay p, then p -= the direction, times `factor` and averaged over updates if there is a beta1.
  private func apply(
    _ direction: Tensor, scaledBy factor: Double, to parameter: Tensor, index: Int, decay: Double
  ) {
    let p = parameter.pointer, d = direction.pointer
    let mean = means.isEmpty ? nil : means[index].pointer
    let beta1 = options.beta1 ?? 0
    for element in 0..<parameter.count {
      var step = Double(d[element]) * factor
      if let mean {
        mean[element] = Float(beta1 * Double(mean[element]) + (1 - beta1) * step)
        step = Double(mean[element])
      }
      p[element] = Float(Double(p[element]) * (1 - decay) - step)
    }
  }

  private func rootMeanSquare(_ tensor: Tensor) -> Double {
    (k_sum_squares(tensor.pointer, tensor.count) / Double(tensor.count)).squareRoot()
  }
}
