import Autograd
import CKernels
import Checkpoints
import Collectives
import Foundation
import TensorCore

/// What the bits of a result depend on besides the configuration: the version of the arithmetic, precision, leaf size, and a
/// hash over what products and kernels compute. Program version, CPU and kernel set are not part of it.
public struct NumericIdentity: Sendable, Equatable {
  public let text: String

  /// Raised by every change that moves a bit of any result; version 0 multiplied with libraries.
  public static let arithmeticVersion = 1

  /// Measures this process: a few milliseconds of products and kernels on fixed inputs.
  ///
  /// - Throws: `PackingError` where this precision cannot be had.
  public static func measure(precision: Precision, leafTokens: Int) throws -> NumericIdentity {
    let library = MatrixBackend.active == .canonical ? "" : ", products \(MatrixBackend.identity)"
    return NumericIdentity(
      text: "arithmetic \(arithmeticVersion), \(precision.rawValue), leaf tokens \(leafTokens), "
        + "battery \(try battery(precision).prefix(16))\(library)")
  }

  /// Compares across ranks.
  ///
  /// - Throws: `TrainingError.ranksDiffer` on every rank, naming hosts.
  @MainActor
  public func agree(over world: World) throws {
    let all = try world.gatherAtAll("\(world.hostName): \(text)")
    let identities = Set(all.map { $0.drop { $0 != ":" } })
    guard identities.count > 1 else { return }
    throw TrainingError.ranksDiffer(
      what: "their numeric identity", values: all.enumerated().map { "rank \($0) on \($1)" })
  }

  /// SHA-256 over the results of a fixed battery of products and kernels.
  static func battery(_ precision: Precision) throws -> String {
    var bytes: [UInt8] = []
    func append(_ tensor: Tensor) {
      bytes.append(contentsOf: UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * 4))
    }
    // A prime number of random values, repeated: all operands come from them at the cost of a copy.
    let generator = CounterGenerator(seed: 1, purpose: .bench)
    let table = (0..<4093).map { Float(generator.uniform(at: $0) - 0.5) }
    func numbers(_ shape: [Int], _ site: Int) -> Tensor {
      let tensor = Tensor(zeros: shape)
      var place = 0
      while place < tensor.count {
        let piece = table[(place == 0 ? site * 97 : 0)...].prefix(tensor.count - place)
        piece.withUnsafeBufferPointer { values in
          guard let first = values.baseAddress else { return }
          (tensor.pointer + place).update(from: first, count: values.count)
        }
        place += piece.count
      }
      return tensor
    }
    for (index, (m, n, k)) in [(7, 64, 64), (37, 512, 64), (276, 128, 512), (430, 512, 512), (1, 2048, 512)]
      .enumerated()
    {
      let (a, b) = (numbers([m, k], 2 * index), numbers([n, k], 2 * index + 1))
      let c = Tensor(zeros: [m, n])
      multiply(Matrix(a), Matrix(b, transposed: true), into: Matrix(c), m: m, n: n, k: k)
      append(c)
    }
    if precision == .bf16, MatrixBackend.active == .oneDNN {
      let (rows, k, n) = (37, 512, 96)
      let weight = try PackedMatrix(numbers([n, k], 30), transposed: true, k: k, n: n)
      let (x, bits, y) = (numbers([rows, k], 31), Tensor(zeros: [rows * k / 2]), Tensor(zeros: [rows, n]))
      bits.withBits {
        k_float_to_bf16(x.pointer, $0, x.count)
        weight.multiply($0, rows: rows, into: y.pointer)
      }
      append(y)
    } else if MatrixBackend.active == .canonical || precision != .fp32 {
      let formats: [Precision: weight_format] = [.fp32: WEIGHT_FP32, .bf16: WEIGHT_BF16, .fp16: WEIGHT_FP16]
      let (x, pool) = (numbers([37, 300], 31), BufferPool())
      let weight = PanelMatrix(numbers([330, 300], 30), format: formats[precision] ?? WEIGHT_FP32, in: pool)
      for rows in [3, 37] {
        let (y, dx) = (Tensor(zeros: [rows, 330]), Tensor(zeros: [rows, 300]))
        weight.multiply(x.rows(0..<rows), into: y)
        append(y)
        weight.multiplyBack(y, into: dx)
        append(dx)
        if precision == .fp16 {
          k_round_fp16(y.pointer, y.pointer, y.count)
          append(y)
        }
      }
    }
    let x = numbers([16, 67], 20)
    let (y, statistics) = (Tensor(zeros: x.shape), Tensor(zeros: [16]))
    let weight = numbers([67], 21)
    k_rms_norm(x.pointer, weight.pointer, y.pointer, statistics.pointer, 16, 67, 1e-6)
    append(y)
    k_activation(ACTIVATION_GELU_NEW, x.pointer, y.pointer, y.count)
    append(y)
    k_softmax(y.pointer, 16, 67, 67, 0, nil, 0, 1, statistics.pointer)
    append(y)
    append(statistics)
    var loss = k_cross_entropy(y.pointer, (0..<16).map { Int32($0) }, 16, 67, 0.5)
    append(y)
    withUnsafeBytes(of: &loss) { bytes.append(contentsOf: $0) }
    return bytes.withUnsafeBytes { sha256($0) }
  }
}
