import CKernels
import TensorCore

/// Queries of one sequence in a decoding step, and the keys in a cache they all look at.
///
/// In the cache the positions of a head lie one behind another, `[positions, K]`, so that they are read in one stream.
public struct StepGroup {
  /// Rows of the queries.
  public let queries: Range<Int>
  /// Element of the cache at which head 0 begins.
  public let start: Int
  /// Elements from one head to the next.
  public let headStride: Int
  /// Keys each query looks at.
  public let count: Int
  /// `[queries, count]`: places of the keys in units of K elements, where every query has a past of its own; otherwise
  /// the keys follow each other from `start` on.
  public let slots: [Int32]?

  public init(queries: Range<Int>, start: Int, headStride: Int, count: Int, slots: [Int32]? = nil) {
    precondition(
      slots.map { $0.count == queries.count * count } ?? true,
      "\(slots?.count ?? 0) slots of \(queries.count) queries x \(count)")
    (self.queries, self.start, self.headStride, self.count, self.slots) = (queries, start, headStride, count, slots)
  }
}

extension Tape {
  /// Attention of single new positions over a cache: `softmax(scale * q Kᵀ + bias) V`, values only.
  ///
  /// Each query stands at the position of its last key. Shapes: q `[rows, H*K]`, keys and values as the groups say, result
  /// as q.
  public func stepAttention(
    q: Variable, keys: Tensor, values: Tensor, groups: [StepGroup], form: AttentionForm, bias: OffsetBias? = nil
  ) -> Variable {
    precondition(!q.needsGradient && form.dropout == nil, "a decoding step has no derivative and no dropout")
    let width = form.heads * form.headWidth
    precondition(
      q.value.width == width && values.shape == keys.shape,
      "step attention: q \(q.shape), keys \(keys.shape), values \(values.shape), \(form.heads) heads")
    let (query, context) = (operand(q).value, allocate(q.shape))
    for group in groups where !group.queries.isEmpty {
      precondition(
        group.count > 0 && group.start + (form.heads - 1) * group.headStride <= keys.count,
        "keys from \(group.start), \(group.headStride) a head, in a cache of \(keys.count)")
      let first = group.queries.lowerBound * width
      k_step_attention(
        query.pointer + first, context.pointer + first, group.queries.count, form.heads, form.headWidth,
        keys.pointer + group.start, values.pointer + group.start, group.headStride, group.slots, group.count,
        bias.map { UnsafePointer($0.pointer(head: 0) - (group.count - 1)) }, bias?.values.shape[1] ?? 0, form.scale)
    }
    return halfResult(context, of: q)
  }

  /// `x [n, H*K]` head by head within each sequence: a sequence of S rows as `[H, S, K]`, in the place it has in x.
  public func headMajor(_ x: Tensor, _ layout: PackedLayout, heads: Int) -> Tensor {
    let (width, result) = (x.width / heads, allocate(x.shape))
    for (start, length) in zip(layout.starts, layout.lengths) {
      for row in 0..<length {
        let source = x.pointer + (start + row) * x.width
        for head in 0..<heads {
          (result.pointer + start * x.width + (head * length + row) * width)
            .update(from: source + head * width, count: width)
        }
      }
    }
    return result
  }
}
