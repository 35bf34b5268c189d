import ArgumentParser
import Autograd
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import PEFTMethods
import Tasks
import TensorCore
import Training

struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Judge a model, with or without an adapter, on a task's data.",
    discussion: """
      Prints one JSON object. Under MPI the examples are spread over all ranks; the result is the same. With several \
      --adapter each answers, and the most frequent answer counts (of equally frequent ones that of the earlier adapter).
      """)

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(
    help: ArgumentHelp(
      "Adapter folder in Hugging Face PEFT format; once for each of an ensemble.", valueName: "dir"))
  var adapter: [String] = []
  @OptionGroup(title: "Data") var data: DataFlags
  @Option(help: ArgumentHelp("Part of the data in --data-dir: train, validation or test.", valueName: "name"))
  var split = "test"
  @Option(help: ArgumentHelp("File or folder to evaluate on, instead.", valueName: "file"))
  var evalFile: String?
  @Option(help: ArgumentHelp("Evaluate on at most the first n examples.", valueName: "n"))
  var evalLimit: Int?
  @Option(help: ArgumentHelp("Write one JSON line per example: id, prediction, target, correct.", valueName: "file"))
  var predictions: String?
  @Option(help: ArgumentHelp("Write inputs and logits of the examples to a safetensors file.", valueName: "file"))
  var dump: String?
  @OptionGroup(title: "Search") var search: SearchFlags
  @Option(help: ArgumentHelp("Sampling: another seed draws other answers (default: 42).", valueName: "n"))
  var seed: UInt64?
  @OptionGroup(title: "Leaves") var leaf: LeafFlags
  @OptionGroup(title: "Watching") var watch: WatchFlags

  func validate() throws {
    guard DataSplit(rawValue: split) != nil else {
      throw ValidationError("--split \(split): expected train, validation or test")
    }
    guard data.dataDir != nil || evalFile != nil else { throw ValidationError("--data-dir or --eval-file is needed") }
    guard dump == nil || adapter.count < 2 else { throw ValidationError("--dump is for one adapter") }
    guard (evalLimit ?? 1) >= 1 else { throw ValidationError("--eval-limit starts at 1") }
    try search.requireSampling([("--seed", seed.map { "\($0)" })])
    if let most = data.maxTargetLength { try search.check(most: most, flag: "--max-target-length") }
  }

  func run() throws {
    try watch.run { try evaluate($0) }
  }

  @MainActor
  private func evaluate(_ world: World) throws {
    if world.isFirst { for path in [predictions, dump].compactMap(\.self) { try OutputFile.requireWritable(path) } }
    let place = try Workplace(
      model: model.model, threads: leaf.threadsPerRank, precision: leaf.arithmetic, cache: data.cacheFolder,
      world: world)
    let task = try TaskCatalogue.task(named: data.task, options: data.textOptions)
    let location =
      try evalFile.map { URL(fileURLWithPath: $0) }
      ?? task.requiredLocation(
        of: DataSplit(rawValue: split) ?? .test, in: URL(fileURLWithPath: data.dataDir ?? "."))
    let dataset = try place.dataset(location, task: task, flags: data, visits: evalLimit)
    let examples = Array(0..<min(dataset.count, evalLimit ?? dataset.count))
    let set = EvaluationSet(dataset: dataset, examples: examples, labels: task.labels)
    let generation = search.options(
      eosIDs: place.model.description.eosIDs, maxNewTokens: place.maxTargetLength(data, task),
      tokenizer: place.tokenizer, seed: seed ?? SearchFlags.defaultSeed)
    var reports: [EvaluationReport] = []
    var evaluator: LeafEvaluator?
    for path in adapter.isEmpty ? [nil] : adapter.map(Optional.some) {
      let own = LeafEvaluator(
        model: place.model, method: try place.method(adapter: path), weights: place.weights)
      let evaluation = Evaluation(
        evaluator: own, world: world, workers: place.workers, tokenizer: place.tokenizer,
        leafTokens: leaf.leafTokens ?? place.model.description.leafTokens, generation: generation)
      guard
        let report = try evaluation.evaluate(
          set, keepsPredictions: predictions != nil || adapter.count > 1, progressName: "leaf")
      else { throw ExitCode(75) }
      reports.append(report)
      evaluator = own
    }
    guard world.isFirst else { return }
    let ensemble = adapter.count > 1 ? Ensemble(reports, labels: task.labels) : nil
    if let predictions {
      try write(ensemble?.predictions ?? reports[0].predictions, task: task, location: location, to: predictions)
    }
    if let dump, let evaluator { try self.dump(set, evaluator: evaluator, to: URL(fileURLWithPath: dump)) }
    var members = Self.members(reports[0])
    if let ensemble {
      members = ["examples": .integer(set.examples.count)]
      for (name, value) in ensemble.metrics { members["eval_\(name)"] = .double(value) }
      members["members"] = .array(
        zip(adapter, reports).map { path, report in
          .object(Self.members(report).merging(["adapter": .string(path)]) { $1 })
        })
    }
    print(JSON.object(members).encoded(.indented))
  }

  private static func members(_ report: EvaluationReport) -> [String: JSON] {
    var members: [String: JSON] = [
      "examples": .integer(report.exampleCount), "eval_loss": report.loss.isFinite ? .double(report.loss) : .null,
      "eval_seconds": .double((report.seconds * 1000).rounded() / 1000),
    ]
    for (name, value) in report.metrics { members["eval_\(name)"] = .double(value) }
    return members
  }

  private func write(_ predictions: [Prediction], task: any TextTask, location: URL, to path: String) throws {
    let ids = try task.examples(at: location).map(\.id)
    let lines = predictions.map { prediction in
      JSON.object([
        "id": .string(ids[prediction.example]), "prediction": .string(prediction.prediction),
        "target": .string(prediction.target), "correct": .bool(prediction.correct),
      ]).encoded(.compact) + "\n"
    }
    try AtomicFile.write(Array(lines.joined().utf8), to: URL(fileURLWithPath: path))
  }

  /// Inputs, labels and logits padded on the right: what another program needs to compare itself.
  @MainActor
  private func dump(_ set: EvaluationSet, evaluator: LeafEvaluator, to url: URL) throws {
    let members = set.examples.map { set.dataset[$0] }
    let (width, targetWidth) = (members.map(\.source.count).max() ?? 0, members.map(\.target.count).max() ?? 0)
    let vocabulary = evaluator.model.description.vocabularySize
    let logits = Tensor(zeros: [members.count, targetWidth, vocabulary])
    var ids: [Int64] = []
    var mask: [Int64] = []
    var labels: [Int64] = []
    let pool = BufferPool()
    let sites = evaluator.sites(pool: pool)
    for (row, member) in members.enumerated() {
      let batch = LeafBatch(
        sources: [member.source], labels: [member.target], examples: [UInt32(member.index)])
      let own = evaluator.model.logits(batch, evaluator.inferencePass(sites: sites, pool: pool)).value
      logits.reshaped([members.count, targetWidth * vocabulary]).rows(row..<row + 1)
        .reshaped([targetWidth, vocabulary]).rows(0..<member.target.count).copyElements(from: own)
      let padding = width - member.source.count
      ids +=
        member.source.map(Int64.init)
        + Array(repeating: Int64(evaluator.model.description.padID), count: padding)
      mask += Array(repeating: 1, count: member.source.count) + Array(repeating: 0, count: padding)
      labels +=
        member.target.map(Int64.init)
        + Array(repeating: Int64(ignoredLabel), count: targetWidth - member.target.count)
    }
    try SafetensorsWriter.write(
      tensors: [("logits", logits)],
      integers: [
        .init("input_ids", shape: [members.count, width], values: ids),
        .init("attention_mask", shape: [members.count, width], values: mask),
        .init("labels", shape: [members.count, targetWidth], values: labels),
      ], to: url)
  }
}

extension Workplace {
  /// The method of an adapter folder; the base alone without one.
  func method(adapter: String?) throws -> any PEFTMethod {
    guard let adapter else { return FrozenBase() }
    return try MethodCatalogue.read(folder: URL(fileURLWithPath: adapter), model: model)
  }
}
