import CKernels
import Foundation
import Testing

private let activations: [(name: String, kind: activation_kind)] = [
  ("relu", ACTIVATION_RELU), ("gelu_new", ACTIVATION_GELU_NEW), ("gelu", ACTIVATION_GELU),
  ("silu", ACTIVATION_SILU),
  ("tanh", ACTIVATION_TANH),
]

/// Activations against double formulas, PyTorch's values, and central differences.
@Suite struct KernelActivationTests {
  @Test(arguments: KernelSet.available, kernelSizes) func valuesAndSlopes(kernels: KernelSet, count: Int)
    throws
  {
    let table = try kernels.table()
    let x = sample(count, scale: 6), dy = sample(count, stream: 2)
    for (name, kind) in activations {
      var y = x, dx = x
      table.activation(kind, x, &y, count)
      #expect(
        excess(y, x.map { reference_activation(kind, Double($0)) }, absolute: 2e-7, relative: 4e-7) <= 0,
        "\(name)")
      table.activation_backward(kind, dy, x, &dx, count)
      let slopes = x.map { slope(kind, at: Double($0)) }
      #expect(
        excess(dx, zip(dy, slopes).map { Double($0) * $1 }, absolute: 1e-6, relative: 1e-6) <= 0,
        "\(name) backward")
    }
  }

  /// relu with one bit an entry kept is relu, and its derivative that of relu, bit for bit.
  @Test(arguments: KernelSet.available, kernelSizes) func reluBySigns(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    var x = sample(count, scale: 6)
    for (index, value) in [Float(0), -0.0, 1e-38, .infinity].enumerated() where index < count { x[index] = value }
    let dy = sample(count, stream: 2)
    var (y, plain, dx, plainSlope) = (x, x, dy, dy)
    var positive = [UInt16](repeating: 0, count: (count + 15) / 16)
    table.relu_signs(x, &y, &positive, count)
    table.activation(ACTIVATION_RELU, x, &plain, count)
    #expect(y == plain)
    table.relu_signs_backward(dy, positive, &dx, count)
    table.activation_backward(ACTIVATION_RELU, dy, x, &plainSlope, count)
    #expect(dx == plainSlope)
  }

  @Test(arguments: KernelSet.available, kernelSizes) func gates(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let a = sample(count, scale: 5), b = sample(count, stream: 2), dy = sample(count, stream: 3)
    for (name, kind) in activations {
      var y = a, da = a, db = a
      table.gated(kind, a, b, &y, count)
      let values = a.map { reference_activation(kind, Double($0)) }
      #expect(
        excess(y, zip(values, b).map { $0 * Double($1) }, absolute: 2e-7, relative: 4e-7) <= 0, "\(name)")
      table.gated_backward(kind, dy, a, b, &da, &db, count)
      let expected = (0..<count).map { Double(dy[$0]) * Double(b[$0]) * slope(kind, at: Double(a[$0])) }
      #expect(excess(da, expected, absolute: 1e-6, relative: 1e-6) <= 0, "\(name) da")
      #expect(
        excess(db, zip(dy, values).map { Double($0) * $1 }, absolute: 2e-7, relative: 4e-7) <= 0, "\(name) db"
      )
    }
  }

  @Test(arguments: KernelSet.available) func extremes(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x: [Float] = [0, -0.0, 1e-30, -1e-30, 88, -88, 1e4, -1e4, .nan]
    for (name, kind) in activations {
      var y = x
      table.activation(kind, x, &y, x.count)
      let expected = x.dropLast().map { reference_activation(kind, Double($0)) }
      #expect(excess(y, expected, absolute: 1e-30, relative: 4e-7) <= 0, "\(name): \(y)")
      #expect(y[8].isNaN, "\(name) of NaN")
    }
  }

  @Test(arguments: KernelSet.available) func pyTorchValues(kernels: KernelSet) throws {
    let table = try kernels.table()
    let golden = try goldenTensors("ops/activations.safetensors")
    let x = try #require(golden["x"])
    for (name, kind) in activations {
      var y = x, slopes = x
      table.activation(kind, x, &y, x.count)
      table.activation_backward(kind, [Float](repeating: 1, count: x.count), x, &slopes, x.count)
      let expected = try #require(golden["y/\(name)"]), expectedSlopes = try #require(golden["dydx/\(name)"])
      #expect(expected.count == x.count && expectedSlopes.count == x.count)
      #expect(excess(y, expected.map(Double.init), absolute: 1e-6, relative: 1e-6) <= 0, "\(name)")
      #expect(
        excess(slopes, expectedSlopes.map(Double.init), absolute: 2e-6, relative: 1e-6) <= 0, "\(name) slope")
    }
  }

  /// f' by central differences, with the kink of relu left to its two sides.
  private func slope(_ kind: activation_kind, at x: Double) -> Double {
    if kind == ACTIVATION_RELU { return x > 0 ? 1 : 0 }
    let step = 1e-5
    return (reference_activation(kind, x + step) - reference_activation(kind, x - step)) / (2 * step)
  }
}

/// The F32 tensors of a safetensors file under Tests/Goldens, by name.
func goldenTensors(_ path: String) throws -> [String: [Float]] {
  let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  let data = try Data(contentsOf: folder.appending(path: "Goldens/\(path)"))
  let headerSize = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
  let header = try #require(
    JSONSerialization.jsonObject(with: data[8..<(8 + headerSize)]) as? [String: [String: Any]])
  var tensors: [String: [Float]] = [:]
  for (name, entry) in header where name != "__metadata__" {
    let range = try #require(entry["data_offsets"] as? [Int])
    let bytes = [UInt8](data[(8 + headerSize + range[0])..<(8 + headerSize + range[1])])
    tensors[name] = bytes.withUnsafeBytes { raw in
      (0..<(bytes.count / 4)).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }
  return tensors
}
