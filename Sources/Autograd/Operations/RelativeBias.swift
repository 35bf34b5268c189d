import CKernels
import TensorCore

/// Attention bias that depends on the offset `key position - query position` alone: one vector per head instead of a
/// `[heads, queries, keys]` tensor.
public struct OffsetBias {
  /// `[H, offsets]`
  public let values: Variable
  /// Index of offset 0 in each vector.
  public let zero: Int

  func pointer(head: Int) -> UnsafeMutablePointer<Float> {
    values.value.pointer + head * values.shape[1] + zero
  }
}

extension Tape {
  /// T5's relative position bias: `values[h, o] = table[bucket(o), h]`.
  ///
  /// Shapes: table `[buckets, H]`, `bucketOfOffset` from offset `-zero` upwards, values `[H, offsets]`.
  /// Gradient: of all layers that used the bias, summed, to the rows of the table.
  public func offsetBias(table: Variable, bucketOfOffset: [Int32], zero: Int) -> OffsetBias {
    let heads = table.shape[1]
    let offsets = bucketOfOffset.count
    let value = allocate([heads, offsets])
    for head in 0..<heads {
      for (offset, bucket) in bucketOfOffset.enumerated() {
        value.pointer[head * offsets + offset] = table.value.pointer[Int(bucket) * heads + head]
      }
    }
    let output = result(value, of: table)
    record(output) { [self] gradient in
      guard let target = table.slot?.accumulator(in: pool) else { return }
      for head in 0..<heads {
        for (offset, bucket) in bucketOfOffset.enumerated() {
          target.pointer[Int(bucket) * heads + head] += gradient.pointer[head * offsets + offset]
        }
      }
    }
    return OffsetBias(values: output, zero: zero)
  }
}
