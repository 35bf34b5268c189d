import Checkpoints
import TensorCore

/// Sum, L2 norm and first 16 elements of tensors too large to be kept whole.
enum TensorSummary {
  /// - Parameter tolerance: of one element. The norm may be off by as much as one element, the sum of n elements by √n
  ///   times that, which is how independent errors add up.
  static func findings(
    _ quantity: String, _ tensors: [(String, Tensor)], _ summary: JSONObject, _ tolerance: Tolerance
  ) throws -> [Finding] {
    var first = Finding("\(quantity) first 16", tolerance)
    var norm = Finding(
      "\(quantity) L2", Tolerance(absolute: tolerance.absolute, relative: tolerance.relative))
    var sum = Finding("\(quantity) sum ÷ √n", tolerance)
    first.compare(names: tensors.map(\.0), summary.members.keys)
    for (name, tensor) in tensors {
      guard let expected = try summary.optionalObject(name) else { continue }
      first.compare(exactly: tensor.shape, try expected.ints("shape"), at: "shape of \(name)")
      let elements = tensor.buffer.map { Double($0) }
      let root = Double(elements.count).squareRoot()
      first.compare(Array(elements.prefix(16)), try expected.doubles("first16"), at: name)
      norm.compare(
        elements.reduce(0) { $0 + $1 * $1 }.squareRoot(), try expected.double("l2"), at: name)
      sum.compare(elements.reduce(0, +) / root, try expected.double("sum") / root, at: name)
    }
    return [first, norm, sum]
  }
}
