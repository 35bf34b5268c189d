import Checkpoints
import TensorCore
import Testing

@testable import Training

/// Global-norm clipping against PyTorch's.
@Suite struct OptimizerClippingTests {
  struct Row: Decodable {
    var max_norm: Double
    var total_norm: Double
  }

  @Test func followsTheReference() throws {
    let rows = try OptimizerGoldens.decode([Row].self, from: "clip.json")
    let file = try SafetensorsFile(OptimizerGoldens.url("clip.safetensors"))
    #expect(rows.map(\.max_norm) == [1, 0.1, 1000])
    for row in rows {
      let gradients = try OptimizerGoldens.tensorNames.map { try file.tensor("grad/\($0)").copy() }
      let norm = GradientClipping.globalNorm(gradients)
      #expect(abs(norm - row.total_norm) <= 2e-5 + 1e-5 * row.total_norm)
      let coefficient = GradientClipping.clip(gradients, maxNorm: row.max_norm, norm: norm)
      #expect((coefficient < 1) == (row.max_norm < row.total_norm))
      for (name, gradient) in zip(OptimizerGoldens.tensorNames, gradients) {
        let expected = try file.tensor("clipped_\(row.max_norm)/\(name)").values
        #expect(expected.count == gradient.count)
        for (got, wanted) in zip(gradient.values, expected) {
          #expect(abs(got - wanted) <= 1e-6 * abs(wanted), "\(name), clipped to \(row.max_norm)")
        }
      }
    }
  }
}
