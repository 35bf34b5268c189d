import CKernels
import Foundation
import TensorCore

/// The label of a position that is no target.
public let ignoredLabel: Int32 = -100

/// Most logits of a tile, in elements: 32 MB.
private let mostTileLogits = 8 << 20

extension Tape {
  /// Sum over the targets of `-log softmax(h headᵀ)[label]`, and the seed of the backward pass.
  ///
  /// The logits exist a tile of rows at a time: the gradient to h and head is computed with them, as nothing lies between
  /// the loss and here. The gradient that flows back is that of `gradientScale * sum`.
  /// Shapes: h `[n, D]`, head `[V, D]`, labels `[n]`, -100 ignored. Returns the plain sum, in Double.
  ///
  /// - Parameter frozen: the head in the tape's precision; not read where the head is trained.
  public func linearCrossEntropy(
    _ h: Variable, head: Variable, frozen: FrozenProjection? = nil, labels: [Int32], gradientScale: Float
  ) -> Double {
    let (width, columns) = (h.value.width, head.shape[0])
    precondition(h.value.rows == labels.count, "cross-entropy: h \(h.shape), \(labels.count) labels")
    let wanted = h.needsGradient || head.needsGradient
    let projection = ProjectionWeight(
      weight: head.value, layout: .outputByInput, frozen: head.needsGradient ? nil : frozen, isHalf: false, tape: self)
    // Tiles of nearly the same size: each reads the whole head.
    let tileCount = max(1, (labels.count * columns + mostTileLogits - 1) / mostTileLogits)
    let tileRows = max(1, (labels.count + tileCount - 1) / tileCount)
    let room = allocate([tileRows, columns])
    let inputGradient = h.needsGradient ? allocate(h.shape) : nil
    var sum = 0.0
    for first in stride(from: 0, to: labels.count, by: tileRows) {
      let rows = min(tileRows, labels.count - first)
      let (tile, logits) = (h.value.rows(first..<first + rows), room.rows(0..<rows))
      projection.project(tile, into: logits)
      sum += labels.withUnsafeBufferPointer { labels in
        guard let base = labels.baseAddress else { return 0 }
        return k_cross_entropy(logits.pointer, base + first, rows, columns, wanted ? gradientScale : 0)
      }
      if let inputGradient { projection.projectBack(logits, into: inputGradient.rows(first..<first + rows)) }
      if let slot = head.slot {
        multiply(
          Matrix(logits, transposed: true), Matrix(tile), into: Matrix(slot.accumulator(in: pool)), m: columns,
          n: width, k: rows, adds: true)
      }
    }
    if let inputGradient { h.slot?.add(inputGradient, in: pool) }
    return sum
  }

  /// The same from logits `[n, V]` that exist already, for heads that a method adapts.
  public func crossEntropy(_ logits: Variable, labels: [Int32], gradientScale: Float) -> Double {
    precondition(logits.value.rows == labels.count, "cross-entropy: \(logits.shape), \(labels.count) labels")
    let work = allocate(logits.shape)
    work.copyElements(from: logits.value)
    let sum = k_cross_entropy(
      work.pointer, labels, labels.count, logits.value.width, logits.needsGradient ? gradientScale : 0)
    logits.slot?.add(work, in: pool)
    return sum
  }

  /// Sum over all entries of `(x - target)²`, and the seed of the backward pass. Shapes: x and targets `[n, C]`.
  public func squaredError(_ x: Variable, targets: [Float], gradientScale: Float) -> Double {
    entrywiseLoss(x, targets: targets, gradientScale: gradientScale) { value, target in
      let difference = Double(value) - Double(target)
      return (difference * difference, 2 * difference)
    }
  }

  /// Sum over all entries of the binary cross-entropy of `sigmoid(x)` against targets from 0 to 1, and the seed of the
  /// backward pass. Shapes: x and targets `[n, C]`.
  public func binaryCrossEntropy(_ x: Variable, targets: [Float], gradientScale: Float) -> Double {
    entrywiseLoss(x, targets: targets, gradientScale: gradientScale) { value, target in
      let (x, t) = (Double(value), Double(target))
      return (max(x, 0) - x * t + Portable.log1p(Portable.exp(-abs(x))), 1 / (1 + Portable.exp(-x)) - t)
    }
  }

  private func entrywiseLoss(
    _ x: Variable, targets: [Float], gradientScale: Float, _ term: (Float, Float) -> (loss: Double, derivative: Double)
  ) -> Double {
    precondition(x.value.count == targets.count, "loss: \(x.shape), \(targets.count) targets")
    let gradient = allocate(x.shape)
    var sum = 0.0
    for (index, target) in targets.enumerated() {
      let (loss, derivative) = term(x.value.pointer[index], target)
      sum += loss
      gradient.pointer[index] = gradientScale * Float(derivative)
    }
    x.slot?.add(gradient, in: pool)
    return sum
  }
}
