import Autograd
import CKernels
import Checkpoints
import Foundation
import Models
import TensorCore

/// Replays `ops/` and `t5_buckets.json`: single operations on numbers the models seldom meet.
enum OperationReplay {
  static func reports(_ folder: URL) throws -> [CaseReport] {
    var reports: [CaseReport] = []
    let activations = folder.appendingPathComponent("activations.safetensors")
    if ReferenceRoot.exists(activations) { reports += try activationReports(activations) }
    if ReferenceRoot.exists(folder.appendingPathComponent("bilstm.safetensors")) {
      reports.append(lstmReport(folder.appendingPathComponent("bilstm.safetensors")))
    }
    return reports
  }

  private static let activations: [String: Activation] = [
    "relu": ACTIVATION_RELU, "gelu_new": ACTIVATION_GELU_NEW, "gelu": ACTIVATION_GELU,
    "silu": ACTIVATION_SILU,
    "tanh": ACTIVATION_TANH,
  ]

  private static func activationReports(_ url: URL) throws -> [CaseReport] {
    let file = try SafetensorsFile(url)
    return file.names.filter { $0.hasPrefix("y/") }.map { $0.dropFirst(2) }.map { name in
      CaseReport("ops/\(name)") {
        guard let activation = activations[String(name)] else {
          throw NotSupported(reason: "activation \(name)")
        }
        let tape = Tape(pool: BufferPool())
        let x = tape.variable(try file.tensor("x"))
        let y = tape.activation(activation, x)
        let ones = Tensor(zeros: y.shape)
        ones.fill(1)
        tape.seed(y, gradient: ones)
        tape.backward()
        var (values, slopes) = (
          Finding("y", Tolerance(absolute: 1e-5)), Finding("dy/dx", Tolerance(absolute: 1e-5))
        )
        values.compare(y.value, try file.tensor("y/\(name)"), at: "y")
        slopes.compare(x.gradient ?? Tensor(zeros: []), try file.tensor("dydx/\(name)"), at: "dy/dx")
        return [values, slopes]
      }
    }
  }

  /// A bidirectional LSTM of two layers, each sequence by itself; gradients sum over the sequences.
  private static func lstmReport(_ url: URL) -> CaseReport {
    CaseReport("ops/bilstm") {
      let file = try SafetensorsFile(url)
      let (x, dy) = (try file.tensor("x"), try file.tensor("dy"))
      let tape = Tape(pool: BufferPool())
      let names = file.names.filter { $0.hasPrefix("param/") }.map { String($0.dropFirst("param/".count)) }
      let weights = Dictionary(
        uniqueKeysWithValues: try names.map { ($0, tape.variable(try file.tensor("param/\($0)"))) })
      func direction(_ suffix: String) throws -> LSTMWeights {
        func weight(_ name: String) throws -> Variable {
          guard let found = weights["\(name)_\(suffix)"] else {
            throw ConformanceError.badInputs(file: url.path, reason: "no tensor param/\(name)_\(suffix)")
          }
          return found
        }
        return LSTMWeights(
          input: try weight("weight_ih"), recurrent: try weight("weight_hh"), inputBias: try weight("bias_ih"),
          recurrentBias: try weight("bias_hh"))
      }
      var (values, slopes) = (
        Finding("y", Tolerance(absolute: 1e-5)), Finding("gradients", Tolerance(absolute: 1e-5))
      )
      let inputs = (0..<x.shape[0]).map { tape.variable(x.rows($0..<$0 + 1).reshaped(Array(x.shape.dropFirst()))) }
      for (sequence, input) in inputs.enumerated() {
        var y = input
        for layer in 0..<2 {
          y = tape.besides(
            tape.lstm(y, try direction("l\(layer)"), isReversed: false),
            tape.lstm(y, try direction("l\(layer)_reverse"), isReversed: true))
        }
        let row = sequence..<sequence + 1
        values.compare(y.value, try file.tensor("y").rows(row).reshaped(y.shape), at: "y of sequence \(sequence)")
        tape.seed(y, gradient: dy.rows(row).reshaped(y.shape).copy())
      }
      tape.backward()
      for (sequence, input) in inputs.enumerated() {
        let expected = try file.tensor("dx").rows(sequence..<sequence + 1).reshaped(input.shape)
        slopes.compare(input.gradient ?? Tensor(zeros: []), expected, at: "dx of sequence \(sequence)")
      }
      for (name, weight) in weights.sorted(by: { $0.key < $1.key }) {
        slopes.compare(weight.gradient ?? Tensor(zeros: []), try file.tensor("grad/\(name)"), at: name)
      }
      return [values, slopes]
    }
  }

  /// T5's relative position buckets.
  static func bucketReport(_ url: URL) -> CaseReport {
    CaseReport("t5_buckets") {
      let json = try JSONObject(file: url)
      let offsets = try json.ints("relative_position")
      return try json.objects("tables").map { table in
        let (count, distance) = (try table.int("num_buckets", in: 4...4096), try table.int("max_distance"))
        let isBidirectional = try table.bool("bidirectional")
        guard distance > count / 2, offsets.allSatisfy({ abs($0) < 1 << 30 }) else {
          throw table.error("max_distance", expected: "more than half the number of buckets")
        }
        let buckets = T5RelativePosition(
          bucketCount: count, maxDistance: distance, bidirectional: isBidirectional)
        var finding = Finding("\(count) buckets to \(distance)\(isBidirectional ? "" : " causal")")
        let expected = try table.ints("bucket")
        finding.compare(exactly: expected.count, offsets.count, at: "number of offsets")
        for (offset, bucket) in zip(offsets, expected) {
          finding.compare(exactly: Int(buckets.bucket(offset)), bucket, at: "offset \(offset)")
        }
        return finding
      }
    }
  }
}
