import NN
import TensorCore

/// Short digests of trained tensors: what ranks compare and what a run records per step.
///
/// Integer arithmetic on the bit patterns, so equal bits give equal digests on every machine. A check against error, not
/// against forgery: four interleaved FNV-1a hashes of 32-bit words (Fowler, Noll, Vo), folded.
public enum ParameterDigest {
  /// 64 bits over all elements of `tensor`.
  public static func digest(_ tensor: Tensor) -> UInt64 {
    let prime: UInt64 = 0x0000_0100_0000_01b3
    var lanes: (UInt64, UInt64, UInt64, UInt64) = (
      0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9
    )
    let pointer = tensor.pointer
    let count = tensor.count
    var index = 0
    while index + 4 <= count {
      lanes.0 = (lanes.0 ^ UInt64(pointer[index].bitPattern)) &* prime
      lanes.1 = (lanes.1 ^ UInt64(pointer[index + 1].bitPattern)) &* prime
      lanes.2 = (lanes.2 ^ UInt64(pointer[index + 2].bitPattern)) &* prime
      lanes.3 = (lanes.3 ^ UInt64(pointer[index + 3].bitPattern)) &* prime
      index += 4
    }
    while index < count {
      lanes.0 = (lanes.0 ^ UInt64(pointer[index].bitPattern)) &* prime
      index += 1
    }
    var result = UInt64(count)
    for lane in [lanes.0, lanes.1, lanes.2, lanes.3] {
      result = (result ^ lane) &* prime
      result ^= result >> 29
    }
    return result
  }

  /// The digests of several tensors, in order.
  public static func digests(_ parameters: [Parameter]) -> [UInt64] { parameters.map { digest($0.value) } }

  /// One digest over several.
  public static func folded(_ digests: [UInt64]) -> UInt64 {
    digests.reduce(0x6c62_272e_07bb_0142) { result, digest in
      let mixed = (result ^ digest) &* 0x0000_0100_0000_01b3
      return mixed ^ mixed >> 31
    }
  }
}
