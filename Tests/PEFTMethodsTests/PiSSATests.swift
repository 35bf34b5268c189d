import Autograd
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

@testable import PEFTMethods

/// PiSSA against HF PEFT, and the singular values it starts from.
@Suite struct PiSSATests {
  private let golden = Golden.root.appending(path: "pissa")

  /// PEFT wrote A and B alone; what they stand beside is W less its own rank-r part.
  @Test func anAdapterOfPEFTGivesItsLogits() throws {
    let model = try Golden.model()
    let expected = try SafetensorsFile(golden.appending(path: "expected.safetensors"))
    let inputs = try SafetensorsFile(golden.appending(path: "inputs.safetensors"))
    let method = try MethodCatalogue.read(folder: golden.appending(path: "adapter"), model: model)
    let (ids, mask, labels) = (
      try rows(inputs, "input_ids"), try rows(inputs, "attention_mask"), try rows(inputs, "labels")
    )
    let sources = zip(ids, mask).map { row, mask in zip(row, mask).filter { $1 == 1 }.map { Int32($0.0) } }
    let leaf = LeafBatch(
      sources: sources, labels: labels.map { $0.map { Int32($0) } }, examples: ids.indices.map { UInt32($0) })
    let pass = method.pass(
      tape: Tape(pool: BufferPool(), recordsGradients: false), sites: method.siteValues.map { Variable(constant: $0) })
    let found = model.logits(leaf, pass).value.values
    #expect(largestDifference(found, try expected.tensor("logits").values) <= 1e-4)
    let written = try method.adapterFiles(baseModelName: "base")
    #expect(written.config.map { "\($0)".contains("pissa") } == false)
    #expect(written.tensors.values.allSatisfy { $0.shape.contains(6) }, "twice the rank")
  }

  private func rows(_ file: SafetensorsFile, _ name: String) throws -> [[Int64]] {
    let (values, shape) = (try file.integers(name), try #require(file.info(name)?.shape))
    return (0..<shape[0]).map { Array(values[$0 * shape[1]..<($0 + 1) * shape[1]]) }
  }

  @Test func theStartIsThatOfPEFT() throws {
    let model = try Golden.model()
    let options = MethodOptions {
      $0.factorRank = 3
      $0.alpha = 6
      $0.targetModules = .names(["q", "wi"])
      $0.loraInitialization = .pissa
    }
    let method = try LoRA(LoRAConfiguration(options, model.description), model, values: { _, _ in nil }, seed: 0)
    let expected = try SafetensorsFile(golden.appending(path: "expected.safetensors"))
    let starts = expected.names.filter { $0.hasPrefix("start/") }
    #expect(starts.count == 2)
    for name in starts {
      let term = try #require(method.terms[String(name.dropFirst("start/".count))])
      let initial = try #require(term.initial)
      #expect(term.scaling == 2)
      let product = Tensor(zeros: [initial.b.rows, initial.a.width])
      multiply(
        Matrix(initial.b), Matrix(initial.a), into: Matrix(product), m: product.rows, n: product.width, k: 3, alpha: 2)
      // PEFT decomposes in fp32.
      #expect(largestDifference(product.values, try expected.tensor(name).values) <= 2e-5)
    }
  }

  @Test(arguments: [(40, 30, 4), (30, 40, 4), (9, 9, 9), (6, 5, 5), (1, 7, 1), (200, 160, 3)])
  func singularTriplets(rows: Int, columns: Int, count: Int) {
    let matrix = Initialization.normal([rows, columns], deviation: 1, CounterGenerator(seed: 8, purpose: .bench))
    let triplets = TruncatedSVD.largest(count, of: matrix)
    #expect(triplets.count == count)
    for (number, triplet) in triplets.enumerated() {
      if number > 0 { #expect(triplet.value <= triplets[number - 1].value) }
      for row in 0..<rows {
        let product = (0..<columns).reduce(0) { $0 + Double(matrix.pointer[row * columns + $1]) * triplet.right[$1] }
        #expect(abs(product - triplet.value * triplet.left[row]) <= 1e-6 * triplets[0].value)
      }
      for other in triplets[..<number] {
        let overlap = zip(triplet.left, other.left).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(overlap) <= 1e-6)
      }
    }
    // Together they hold as much of the matrix as the largest values can: all of it when all were asked for.
    guard count == min(rows, columns) else { return }
    let total = matrix.values.reduce(0) { $0 + Double($1) * Double($1) }
    #expect(abs(triplets.reduce(0) { $0 + $1.value * $1.value } - total) <= 1e-6 * total)
  }

  @Test func aMatrixOfLowerRankThanAskedFor() {
    let matrix = Tensor(zeros: [8, 6])
    for row in 0..<8 { for column in 0..<6 { matrix.pointer[row * 6 + column] = Float((row + 1) * (column - 2)) } }
    let triplets = TruncatedSVD.largest(4, of: matrix)
    let norm = matrix.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    #expect(abs(triplets[0].value - norm) <= 1e-9 * norm)
    #expect(triplets[1...].allSatisfy { $0.value <= 1e-9 * norm })
  }
}
