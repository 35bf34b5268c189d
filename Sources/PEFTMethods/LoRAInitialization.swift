import Checkpoints
import Foundation
import NN
import TensorCore

/// The factors of an update `B A`: A `[R, in]`, B `[out, R]`.
struct LowRankFactors: Sendable {
  let a: Tensor
  let b: Tensor

  /// Names of PiSSA's initial factors in the training form.
  static let initialA = "lora_A.initial"
  static let initialB = "lora_B.initial"

  static func isInitial(_ name: String) -> Bool { name.hasSuffix(initialA) || name.hasSuffix(initialB) }

  func copy() -> LowRankFactors { LowRankFactors(a: a.copy(), b: b.copy()) }
}

/// How A and B start: HF PEFT's `init_lora_weights`.
public enum LoRAInitialization: String, Sendable, CaseIterable {
  /// A uniform up to 1/√in, B zero (`true`).
  case standard
  /// A of deviation 1/R, B zero.
  case gaussian
  /// Both random: B uniform up to 1/√R (`false`).
  case random
  /// Both random with `B A = 0`: their inner sides lie in orthogonal spaces. R must be even.
  case orthogonal
  /// The R largest singular values and vectors of W, which leave the base (Meng et al. 2024, "PiSSA", eq. 2-4).
  case pissa

  init(_ config: JSONObject) throws {
    switch config["init_lora_weights"] {
    case nil, .bool(true): self = .standard
    case .bool(false): self = .random
    case .string("gaussian"): self = .gaussian
    case .string("orthogonal"): self = .orthogonal
    case .string("pissa"): self = .pissa
    // These leave the base alone too, and of a trained adapter nothing more is to be known.
    case .string("eva"), .string("mica"): self = .standard
    case let value?:
      throw MethodError.unsupported(path: config.origin, key: "init_lora_weights", value: value.summary)
    }
  }

  var json: JSON {
    switch self {
    case .standard: true
    case .random: false
    case .gaussian, .orthogonal, .pissa: .string(rawValue)
    }
  }

  /// Fresh factors for one projection; PiSSA's come from its weight instead (`LoRA.pissaStarts`).
  func factors(_ linear: Linear, rank: Int, _ generator: CounterGenerator) throws -> LowRankFactors {
    let (aShape, bShape) = ([rank, linear.inputSize], [linear.outputSize, rank])
    let second = CounterGenerator(parent: generator, site: 1)
    switch self {
    case .standard, .pissa:
      let bound = 1 / Double(linear.inputSize).squareRoot()
      return LowRankFactors(
        a: Initialization.uniform(aShape, bound: bound, generator), b: Tensor(zeros: bShape))
    case .gaussian:
      return LowRankFactors(
        a: Initialization.normal(aShape, deviation: 1 / Double(rank), generator), b: Tensor(zeros: bShape))
    case .random:
      return LowRankFactors(
        a: Initialization.uniform(aShape, bound: 1 / Double(linear.inputSize).squareRoot(), generator),
        b: Initialization.uniform(bShape, bound: 1 / Double(rank).squareRoot(), second))
    case .orthogonal: return try Self.orthogonal(linear, rank: rank, generator)
    }
  }

  /// A = (X Q₁)ᵀ / 10 and B = Y Q₂ / 10 with Q₁, Q₂ the rows of even and odd number of an orthogonal matrix.
  private static func orthogonal(
    _ linear: Linear, rank: Int, _ generator: CounterGenerator
  ) throws -> LowRankFactors {
    guard rank % 2 == 0 else {
      throw MethodError.badOption(
        option: "--lora-r", value: "\(rank)", expected: "an even rank with --lora-init orthogonal")
    }
    let half = rank / 2
    func normal(_ shape: [Int], _ site: UInt32) -> [Float] {
      Initialization.normal(shape, deviation: 1, CounterGenerator(parent: generator, site: site)).values
    }
    let q = orthonormalRows(normal([rank, rank], 1).map(Double.init), count: rank)
    let x = normal([linear.inputSize, half], 2)
    let y = normal([linear.outputSize, half], 3)
    let factors = LowRankFactors(
      a: Tensor(zeros: [rank, linear.inputSize]), b: Tensor(zeros: [linear.outputSize, rank]))
    for row in 0..<rank {
      for column in 0..<linear.inputSize {
        let sum = (0..<half).reduce(0.0) { $0 + Double(x[column * half + $1]) * q[2 * $1][row] }
        factors.a.pointer[row * linear.inputSize + column] = Float(sum / 10)
      }
      for output in 0..<linear.outputSize {
        let sum = (0..<half).reduce(0.0) { $0 + Double(y[output * half + $1]) * q[2 * $1 + 1][row] }
        factors.b.pointer[output * rank + row] = Float(sum / 10)
      }
    }
    return factors
  }

  /// The rows of a square matrix made orthonormal one after another (Gram and Schmidt, twice for accuracy).
  private static func orthonormalRows(_ matrix: [Double], count: Int) -> [[Double]] {
    var rows: [[Double]] = []
    for index in 0..<count {
      var row = Array(matrix[index * count..<(index + 1) * count])
      for _ in 0..<2 {
        for other in rows {
          let projection = zip(row, other).reduce(0) { $0 + $1.0 * $1.1 }
          for column in 0..<count { row[column] -= projection * other[column] }
        }
      }
      let norm = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
      rows.append(row.map { $0 / norm })
    }
    return rows
  }
}

extension LoRA {
  /// PiSSA's initial factors of every target by path; empty for another initialisation.
  ///
  /// `A₀ = √(S/s) Vᵀ`, `B₀ = U √(S/s)` with the R largest singular values S and vectors of W and the scaling s.
  /// - Parameter values: holds them already where training goes on from a training form.
  static func pissaStarts(
    _ configuration: LoRAConfiguration, _ targets: [Linear], _ values: (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws -> [String: LowRankFactors] {
    guard configuration.initialization == .pissa else { return [:] }
    let jobs = try targets.map { ($0, try configuration.factors(path: $0.path)) }
    for (linear, factors) in jobs where factors.rank > min(linear.inputSize, linear.outputSize) {
      throw MethodError.badOption(
        option: "--lora-r", value: "\(factors.rank)",
        expected: "at most the width of \(linear.path) with --lora-init pissa")
    }
    var starts: [String: LowRankFactors] = [:]
    for (linear, factors) in jobs {
      let names = [LowRankFactors.initialA, LowRankFactors.initialB].map { "\(prefix)\(linear.path).\($0)" }
      if let a = values(names[0], [factors.rank, linear.inputSize]),
        let b = values(names[1], [linear.outputSize, factors.rank])
      {
        starts[linear.path] = LowRankFactors(a: a, b: b)
      }
    }
    let missing = jobs.filter { starts[$0.0.path] == nil }
    let found = Decompositions(count: missing.count)
    DispatchQueue.concurrentPerform(iterations: missing.count) { index in
      let (linear, factors) = missing[index]
      found.set(index, linear.principalFactors(rank: factors.rank, scaling: Double(factors.scaling)))
    }
    for (job, factors) in zip(missing, found.all) { starts[job.0.path] = factors }
    return starts
  }
}

/// Results of jobs on several threads, each in its place.
private final class Decompositions: @unchecked Sendable {
  private let lock = NSLock()
  private var results: [LowRankFactors?]

  init(count: Int) { results = Array(repeating: nil, count: count) }

  func set(_ index: Int, _ factors: LowRankFactors) { lock.withLock { results[index] = factors } }

  var all: [LowRankFactors] { lock.withLock { results.compactMap { $0 } } }
}

extension Linear {
  /// The weight as `[out, in]`: itself or a transposed copy.
  var outputByInput: Tensor {
    guard layout == .inputByOutput else { return weight.value }
    let result = Tensor(zeros: [outputSize, inputSize])
    for row in 0..<inputSize {
      for column in 0..<outputSize {
        result.pointer[column * inputSize + row] = weight.value.pointer[row * outputSize + column]
      }
    }
    return result
  }

  /// The rank-R part of the weight as `scaling * B A`.
  fileprivate func principalFactors(rank: Int, scaling: Double) -> LowRankFactors {
    let triplets = TruncatedSVD.largest(rank, of: outputByInput)
    let factors = LowRankFactors(a: Tensor(zeros: [rank, inputSize]), b: Tensor(zeros: [outputSize, rank]))
    for (row, triplet) in triplets.enumerated() {
      let root = (triplet.value / scaling).squareRoot()
      for column in 0..<inputSize { factors.a.pointer[row * inputSize + column] = Float(root * triplet.right[column]) }
      for output in 0..<outputSize { factors.b.pointer[output * rank + row] = Float(root * triplet.left[output]) }
    }
    return factors
  }

  /// Euclidean norms `[out]` of the rows of `W + scaling * B A`.
  func rowNorms(adding factors: LowRankFactors, scaling: Float) -> Tensor {
    let updated = self.updated(by: factors, scaling: scaling)
    let norms = Tensor(zeros: [outputSize])
    for row in 0..<outputSize {
      let own = updated.rows(row..<row + 1)
      norms.pointer[row] = Float(own.buffer.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
    }
    return norms
  }

  /// `W + scaling * B A` as `[out, in]`, in memory of its own.
  func updated(by factors: LowRankFactors, scaling: Float) -> Tensor {
    let result = outputByInput.copy()
    multiply(
      Matrix(factors.b), Matrix(factors.a), into: Matrix(result), m: outputSize, n: inputSize, k: factors.a.rows,
      alpha: scaling, adds: true)
    return result
  }
}
