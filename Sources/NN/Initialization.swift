import Foundation
import TensorCore

/// Initial values as PyTorch's defaults draw them, from counter-based random numbers: the same on every rank.
public enum Initialization {
  /// Uniform in (-bound, bound).
  public static func uniform(_ shape: [Int], bound: Double, _ generator: CounterGenerator) -> Tensor {
    let result = Tensor(zeros: shape)
    for index in 0..<result.count {
      result.pointer[index] = Float((2 * generator.uniform(at: UInt64(index)) - 1) * bound)
    }
    return result
  }

  /// Normal with mean 0, by Box and Muller's transform of two uniforms for each value.
  public static func normal(_ shape: [Int], deviation: Double, _ generator: CounterGenerator) -> Tensor {
    let result = Tensor(zeros: shape)
    for index in 0..<result.count {
      let radius = (-2 * Portable.log(1 - generator.uniform(at: UInt64(2 * index)))).squareRoot()
      let turns = generator.uniform(at: UInt64(2 * index + 1))
      result.pointer[index] = Float(deviation * radius * Portable.cosine(turns: turns))
    }
    return result
  }
}
