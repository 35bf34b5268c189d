import Foundation
import TensorCore

/// T5's relative position buckets (Raffel et al. 2020, §2.1; HF `modeling_t5.py`, `_relative_position_bucket`).
///
/// Half of the buckets are one offset each, the rest grow logarithmically up to `maxDistance`. The arithmetic is fp32 in
/// the reference's order, as offsets on a boundary depend on it.
public struct T5RelativePosition: Sendable {
  public let bucketCount: Int
  public let maxDistance: Int
  /// Encoder: offsets to the right have buckets of their own. Decoder: they all count as offset 0.
  public let bidirectional: Bool

  public init(bucketCount: Int, maxDistance: Int, bidirectional: Bool) {
    self.bucketCount = bucketCount
    self.maxDistance = maxDistance
    self.bidirectional = bidirectional
  }

  /// Bucket of `offset = key position - query position`, in `0 ..< bucketCount`.
  public func bucket(_ offset: Int) -> Int32 {
    var count = bucketCount
    var base = 0
    var distance = max(-offset, 0)
    if bidirectional {
      count /= 2
      base = offset > 0 ? count : 0
      distance = abs(offset)
    }
    let exact = count / 2
    guard distance >= exact else { return Int32(base + distance) }
    let ratio =
      Float(Portable.log(Double(Float(distance) / Float(exact))))
      / Float(Portable.log(Double(maxDistance) / Double(exact)))
    let large = exact + Int(ratio * Float(count - exact))
    return Int32(base + min(large, count - 1))
  }

  /// Buckets of the offsets `-(length - 1) ... length - 1`; offset 0 stands at index `length - 1`.
  public func buckets(length: Int) -> [Int32] {
    (-(length - 1)...(length - 1)).map(bucket)
  }
}
