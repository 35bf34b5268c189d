import Autograd
import Checkpoints
import Models
import NN
import TensorCore

/// Replays a classifier's losses: the loss of each `problem_type` on the same logits, and its gradient to them.
enum LossReplay {
  static func findings(_ file: CaseFile) throws -> [Finding] {
    let folder = try ModelFolder(file.root.resolve("model", of: file.json))
    let (inputs, expected) = (try file.tensors("inputs.safetensors"), try file.tensors("expected.safetensors"))
    let cases: [(ClassifierHead.Problem, String)] = [
      (.singleLabel, "labels"), (.regression, "labels_regression"), (.multiLabel, "labels_multi_label"),
    ]
    return try cases.flatMap { problem, name -> [Finding] in
      guard let model = try ModelCatalogue.load(folder, head: HeadRequest(problem: problem)) as? any ClassifierModel
      else { throw NotSupported(reason: "a classifier of type \(folder.modelType ?? "nothing")") }
      let sources = try CaseInputs.sources(inputs, prefix: "", model: model.description)
      let labels = try labels(inputs, name, problem, rows: sources.count)
      let batch = LeafBatch(sources: sources, labels: labels, examples: sources.indices.map { UInt32($0) })
      MatrixBackend.prepareThread()
      let pool = BufferPool()
      let method = FrozenBase()
      let values = model.logits(batch, method.pass(tape: Tape(pool: pool, recordsGradients: false), sites: [])).value
      let tape = Tape(pool: pool)
      let logits = tape.variable(values)
      let sum = model.losses(
        logits: logits, labels: labels, method.pass(tape: tape, sites: []),
        gradientScale: 1 / Float(batch.targetCount)
      ).reduce(0, +)
      var (loss, gradient) = (
        Finding("\(problem.rawValue) loss", try file.tolerance("loss")),
        Finding("\(problem.rawValue) d loss / d logits", Tolerance(absolute: 2e-6, relative: 1e-3))
      )
      loss.compare(sum / Double(batch.targetCount), try file.expected.double(problem.rawValue), at: problem.rawValue)
      guard let found = logits.gradient else { return [loss] }
      gradient.compare(found, try expected.tensor("dlogits/\(problem.rawValue)"), at: problem.rawValue)
      var scores = Finding("logits", try file.tolerance("logits"))
      scores.compare(values, try expected.tensor("logits"), at: "logits")
      return [scores, loss, gradient]
    }
  }

  /// One label a row, or the bits of its values.
  private static func labels(
    _ file: SafetensorsFile, _ name: String, _ problem: ClassifierHead.Problem, rows: Int
  ) throws -> [[Int32]] {
    if problem == .singleLabel { return try file.integers(name).map { [Int32(clamping: $0)] } }
    let values = try file.tensor(name)
    guard values.shape.count == 2, values.rows == rows else {
      throw ConformanceError.badInputs(file: file.path, reason: "\(name): expected a row of values for each source")
    }
    return (0..<rows).map { row in
      values.rows(row..<row + 1).values.map { Int32(bitPattern: $0.bitPattern) }
    }
  }
}
