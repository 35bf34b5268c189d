import ArgumentParser
import CKernels
import Checkpoints
import Diagnostics
import TensorCore
import Training

/// Matrix products of the shapes that training and decoding are made of, beside OpenBLAS and the arithmetic peak.
struct BenchProductsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "products", abstract: "Matrix products on one core, against OpenBLAS and the arithmetic peak.",
    discussion: """
      Prints one JSON object a shape: GFLOP/s of the projection from packed weights, forward and backward, of the weight \
      gradient and of attention's products, each with its ratio to OpenBLAS, measured in turns.
      """)

  @Option(help: ArgumentHelp("Rounds of each measurement; the best counts.", valueName: "n"))
  var repeats = 7

  func validate() throws { try OptionRanges.check([("--repeats", repeats, 1)]) }

  /// Rows, outputs and inputs: T5-small and T5-base at 256 and 1,024 tokens, decoding steps, an output head.
  private static let shapes = [
    (256, 512, 512), (256, 2048, 512), (256, 512, 2048), (1024, 512, 512), (1024, 2048, 512), (256, 768, 768),
    (256, 3072, 768), (256, 768, 3072), (1, 2048, 512), (8, 2048, 512), (32, 2048, 512), (96, 2048, 512),
    (8, 32_128, 512),
  ]
  /// Queries, keys and width of a head.
  private static let tiles = [(128, 256, 64), (128, 512, 64), (20, 256, 64)]

  func run() throws {
    try chooseKernels()
    let library = MatrixBackend.openBLAS()
    try library.load()
    let peak =
      (0..<repeats).map { _ in
        let watch = Stopwatch()
        return k_arithmetic_peak(OPERAND_FP32, 1_000_000) / watch.seconds / 1e9
      }.max() ?? 0
    print(
      JSON.object([
        "cpu": .string(ProcessorFeatures.read().model), "arithmetic_peak_gflops": BenchPlace.rounded(peak, 10),
        "kernels": .string(String(cString: kernels_name(kernels_selected()))),
      ]).encoded(.compact))
    for (m, n, k) in Self.shapes { show("projection", m, n, k, projection(m, n, k, library)) }
    for (m, n, k) in Self.tiles { show("attention", m, n, k, attention(m, n, k, library)) }
  }

  private func show(_ name: String, _ m: Int, _ n: Int, _ k: Int, _ found: [(String, own: Double, library: Double)]) {
    var members: [String: JSON] = ["product": .string(name), "shape": .array([m, n, k].map { .integer($0) })]
    for (part, own, library) in found {
      members["\(part)_gflops"] = BenchPlace.rounded(own, 10)
      members["\(part)_ratio"] = BenchPlace.rounded(own / library, 100)
    }
    print(JSON.object(members).encoded(.compact))
  }

  private func projection(
    _ m: Int, _ n: Int, _ k: Int, _ library: MatrixBackend
  ) -> [(String, own: Double, library: Double)] {
    let (x, w, y) = (numbers([m, k]), numbers([n, k]), numbers([m, n]))
    let (dx, dw) = (Tensor(zeros: [m, k]), Tensor(zeros: [n, k]))
    let panels = PanelMatrix(w, in: BufferPool())
    let work = 2 * Double(m * n * k)
    let y2 = Tensor(zeros: [m, n])
    func forward(_ backend: MatrixBackend) {
      multiply(Matrix(x), Matrix(w, transposed: true), into: Matrix(y2), m: m, n: n, k: k, backend: backend)
    }
    func back(_ backend: MatrixBackend) {
      multiply(Matrix(y), Matrix(w), into: Matrix(dx), m: m, n: k, k: n, backend: backend)
    }
    func weight(_ backend: MatrixBackend) {
      multiply(
        Matrix(y, transposed: true), Matrix(x), into: Matrix(dw), m: n, n: k, k: m, adds: true, backend: backend)
    }
    return [
      compare("forward", work, { panels.multiply(x, into: y2) }, { forward(library) }),
      compare("backward", work, { panels.multiplyBack(y, into: dx) }, { back(library) }),
      compare("unpacked_forward", work, { forward(.canonical) }, { forward(library) }),
      compare("weight_gradient", work, { weight(.canonical) }, { weight(library) }),
    ]
  }

  /// Scores, context and gradient of the values of one tile, in rows of eight heads.
  private func attention(
    _ m: Int, _ n: Int, _ k: Int, _ library: MatrixBackend
  ) -> [(String, own: Double, library: Double)] {
    let width = 8 * k
    let (q, keys, p, dv) = (numbers([m, width]), numbers([n, width]), numbers([m, n]), Tensor(zeros: [n, width]))
    let scores = Tensor(zeros: [m, n])
    let work = 2 * Double(m * n * k)
    func over(_ backend: MatrixBackend) {
      multiply(
        Matrix(q.pointer, stride: width), Matrix(keys.pointer, stride: width, transposed: true), into: Matrix(scores),
        m: m, n: n, k: k, backend: backend)
    }
    func context(_ backend: MatrixBackend) {
      multiply(
        Matrix(p), Matrix(keys.pointer, stride: width), into: Matrix(q.pointer, stride: width), m: m, n: k, k: n,
        backend: backend)
    }
    func values(_ backend: MatrixBackend) {
      multiply(
        Matrix(p, transposed: true), Matrix(q.pointer, stride: width), into: Matrix(dv.pointer, stride: width), m: n,
        n: k, k: m, backend: backend)
    }
    return [
      compare("scores", work, { over(.canonical) }, { over(library) }),
      compare("context", work, { context(.canonical) }, { context(library) }),
      compare("value_gradient", work, { values(.canonical) }, { values(library) }),
    ]
  }

  private func compare(
    _ name: String, _ work: Double, _ own: () -> Void, _ library: () -> Void
  ) -> (String, own: Double, library: Double) {
    var (a, b) = (0.0, 0.0)
    for _ in 0..<repeats {
      a = max(a, rate(work, own))
      b = max(b, rate(work, library))
    }
    return (name, a, b)
  }

  /// GFLOP/s over some 20 ms.
  private func rate(_ work: Double, _ body: () -> Void) -> Double {
    let watch = Stopwatch()
    var count = 0.0
    while watch.seconds < 0.02 {
      body()
      count += 1
    }
    return count * work / watch.seconds / 1e9
  }

  private func numbers(_ shape: [Int]) -> Tensor {
    let generator = CounterGenerator(seed: 1, purpose: .bench)
    let tensor = Tensor(zeros: shape)
    for index in 0..<tensor.count { tensor.pointer[index] = Float(generator.uniform(at: UInt64(index)) - 0.5) }
    return tensor
  }
}
