import CKernels
import Foundation
import TensorCore

/// The label of a position that is no target.
public let ignoredLabel: Int32 = -100

/// Most logits of a tile, in elements: 32 MB.
private let mostTileLogits = 8 << 20

extension Tape {
  /// The losses `-log softmax(h headᵀ)[label]` of all rows, in Double, 0 where a row is no target; and the seed of the backward
  /// pass, `gradientScale` times the gradient of their sum.
  ///
  /// The logits exist a tile of rows at a time: the gradient to h and head is computed with them, as nothing lies between
  /// the loss and here. Shapes: h `[n, D]`, head `[V, D]`, labels `[n]`, -100 ignored, result `[n]`.
  ///
  /// - Parameter frozen: the head in the tape's precision; not read where the head is trained.
  public func linearCrossEntropy(
    _ h: Variable, head: Variable, frozen: FrozenProjection? = nil, labels: [Int32], gradientScale: Float
  ) -> [Double] {
    let (width, columns) = (h.value.width, head.shape[0])
    precondition(h.value.rows == labels.count, "cross-entropy: h \(h.shape), \(labels.count) labels")
    let wanted = h.needsGradient || head.needsGradient
    let projection = ProjectionWeight(
      weight: head.value, layout: .outputByInput, frozen: head.needsGradient ? nil : frozen, isHalf: false, tape: self)
    // Part of the arithmetic, as the gradient of a trained head is added tile by tile: a function of the head alone.
    let tileRows = max(16, mostTileLogits / max(columns, 1) / 16 * 16)
    let room = allocate([min(tileRows, max(labels.count, 1)), columns])
    let inputGradient = h.needsGradient ? allocate(h.shape) : nil
    var losses: [Double] = []
    for first in stride(from: 0, to: labels.count, by: tileRows) {
      let rows = min(tileRows, labels.count - first)
      let (tile, logits) = (h.value.rows(first..<first + rows), room.rows(0..<rows))
      projection.project(tile, into: logits)
      losses += rowLosses(logits, labels[first..<first + rows], gradientScale: wanted ? gradientScale : 0)
      if let inputGradient { projection.projectBack(logits, into: inputGradient.rows(first..<first + rows)) }
      if let slot = head.slot {
        multiply(
          Matrix(logits, transposed: true), Matrix(tile), into: Matrix(slot.accumulator(in: pool)), m: columns,
          n: width, k: rows, adds: true)
      }
    }
    if let inputGradient { h.slot?.add(inputGradient, in: pool) }
    return losses
  }

  /// The same from logits `[n, V]` that exist already, for heads that a method adapts.
  public func crossEntropy(_ logits: Variable, labels: [Int32], gradientScale: Float) -> [Double] {
    precondition(logits.value.rows == labels.count, "cross-entropy: \(logits.shape), \(labels.count) labels")
    let work = allocate(logits.shape)
    work.copyElements(from: logits.value)
    let losses = rowLosses(work, labels[...], gradientScale: logits.needsGradient ? gradientScale : 0)
    logits.slot?.add(work, in: pool)
    return losses
  }

  /// Logits `[n, V]` become their gradient, unless the scale is 0.
  private func rowLosses(_ logits: Tensor, _ labels: ArraySlice<Int32>, gradientScale: Float) -> [Double] {
    labels.enumerated().map { row, label in
      withUnsafePointer(to: label) {
        k_cross_entropy(logits.pointer + row * logits.width, $0, 1, logits.width, gradientScale)
      }
    }
  }

  /// The sums of `(x - target)²` over each row, and the seed of the backward pass. Shapes: x and targets `[n, C]`, result
  /// `[n]`.
  public func squaredError(_ x: Variable, targets: [Float], gradientScale: Float) -> [Double] {
    entrywiseLoss(x, targets: targets, gradientScale: gradientScale) { value, target in
      let difference = Double(value) - Double(target)
      return (difference * difference, 2 * difference)
    }
  }

  /// The sums over each row of the binary cross-entropy of `sigmoid(x)` against targets from 0 to 1, and the seed of the
  /// backward pass. Shapes: x and targets `[n, C]`, result `[n]`.
  public func binaryCrossEntropy(_ x: Variable, targets: [Float], gradientScale: Float) -> [Double] {
    entrywiseLoss(x, targets: targets, gradientScale: gradientScale) { value, target in
      let (x, t) = (Double(value), Double(target))
      return (max(x, 0) - x * t + Portable.log1p(Portable.exp(-abs(x))), 1 / (1 + Portable.exp(-x)) - t)
    }
  }

  private func entrywiseLoss(
    _ x: Variable, targets: [Float], gradientScale: Float, _ term: (Float, Float) -> (loss: Double, derivative: Double)
  ) -> [Double] {
    precondition(x.value.count == targets.count, "loss: \(x.shape), \(targets.count) targets")
    let gradient = allocate(x.shape)
    var sums = [Double](repeating: 0, count: x.value.rows)
    for (index, target) in targets.enumerated() {
      let (loss, derivative) = term(x.value.pointer[index], target)
      sums[index / x.value.width] += loss
      gradient.pointer[index] = gradientScale * Float(derivative)
    }
    x.slot?.add(gradient, in: pool)
    return sums
  }
}
