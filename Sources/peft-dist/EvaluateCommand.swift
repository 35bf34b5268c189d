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
    try OptionRanges.check([("--eval-limit", evalLimit, 1)])
    try search.requireUsed(model: model.model, sampling: [("--seed", seed.map { "\($0)" })])
    if adapter.isEmpty, (try? TaskSettings(folder: URL(fileURLWithPath: model.model))) == nil {
      _ = try data.requireTask()
    }
    if let most = data.maxTargetLength { try search.check(most: most, flag: "--max-target-length") }
  }

  func run() throws {
    try watch.run(leaf.products) { try evaluate($0) }
  }

  @MainActor
  private func evaluate(_ world: World) throws {
    if world.isFirst { for path in [predictions, dump].compactMap(\.self) { try OutputFile.requireWritable(path) } }
    var location = URL(fileURLWithPath: evalFile ?? ".")
    let settings = try TaskSettings.first(adapter: adapter.first, model: model.model)
    let data = try data.filled(from: settings)
    let search = try search.filled(from: settings)
    let choice = try TaskChoice(
      data, model: model.model, adapter: adapter.first, settings: settings, takesModelLabels: adapter.isEmpty, seed: 42
    ) { task in
      if evalFile == nil {
        location = try task.requiredLocation(
          of: DataSplit(rawValue: split) ?? .test, in: URL(fileURLWithPath: data.dataDir ?? "."))
      }
      return location
    }
    let task = choice.task
    if let settings, case let found = try task.columns(at: location), found != settings.columns {
      throw DataError.otherColumns(location, trained: settings.columns, found: found)
    }
    guard predictions == nil || task.metrics != .tokens else {
      throw ValidationError("--predictions: task \(task.name) asks for no answers, only for a loss; leave it out")
    }
    let place = try Workplace(
      choice.folder, head: choice.head, threads: leaf.threadsPerRank, precision: leaf.arithmetic,
      cache: data.cacheFolder, world: world)
    if world.size > 1 {
      _ = try place.digest(ofData: location, over: world)
      _ = try place.agree(over: world, adapters: adapter)
    }
    if adapter.isEmpty { try place.requireTrainedHead() }
    let methods = try adapter.isEmpty ? [place.method(adapter: nil)] : adapter.map { try place.method(adapter: $0) }
    let encoding = try place.encoding(
      data, task, methods.max { $0.occupiedPositionCount < $1.occupiedPositionCount } ?? FrozenBase())
    let dataset = try place.dataset(location, task: task, encoding: encoding, flags: data, visits: evalLimit)
    let examples = Array(0..<min(dataset.count, evalLimit ?? dataset.count))
    if let cuts = LengthStatistics(dataset, indices: examples).cuts { RunLog.notice(cuts) }
    let set = try place.evaluationSet(dataset, examples: examples, task: task, location: location, flags: data)
    let generation = try search.judging(
      place, task, maxNewTokens: encoding.target, seed: seed ?? SearchFlags.defaultSeed
    ).options
    var reports: [EvaluationReport] = []
    var evaluator: LeafEvaluator?
    for method in methods {
      let own = LeafEvaluator(model: place.model, method: method, weights: place.weights)
      let evaluation = Evaluation(
        evaluator: own, world: world, workers: place.workers, tokenizer: place.tokenizer,
        leafTokens: leaf.leafTokens ?? place.model.description.leafTokens, generation: generation)
      guard
        let report = try evaluation.evaluate(set, writesAnswers: true, progressName: "leaf")
      else { throw ExitCode(75) }
      reports.append(report)
      evaluator = own
    }
    guard world.isFirst else { return }
    let ensemble = adapter.count > 1 ? Ensemble(reports, metrics: task.metrics) : nil
    if let predictions {
      try write(ensemble?.outcomes ?? reports[0].outcomes, task: task, location: location, to: predictions)
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
    if let baselines = try Self.baselines(task, location: location, count: set.examples.count) {
      members["baselines"] = baselines
    }
    print(JSON.object(members).encoded(.indented))
  }

  /// Scores of summaries that need no model, on the same documents.
  private static func baselines(_ task: any TextTask, location: URL, count: Int) throws -> JSON? {
    guard let task = task as? any SummaryTask else { return nil }
    let documents = Array(try task.documents(at: location).prefix(count))
    return .object(
      Dictionary(
        uniqueKeysWithValues: SummaryBaseline.allCases.map { baseline in
          let scores = baseline.scores(of: documents).map { ("eval_\($0.name)", JSON.double($0.value)) }
          return (baseline.rawValue, .object(Dictionary(uniqueKeysWithValues: scores)))
        }))
  }

  private static func members(_ report: EvaluationReport) -> [String: JSON] {
    var members: [String: JSON] = [
      "examples": .integer(report.exampleCount), "eval_loss": report.loss.isFinite ? .double(report.loss) : .null,
      "eval_seconds": .double((report.seconds * 1000).rounded() / 1000),
    ]
    for (name, value) in report.metrics { members["eval_\(name)"] = .double(value) }
    return members
  }

  private func write(_ outcomes: [ExampleOutcome], task: any TextTask, location: URL, to path: String) throws {
    let ids = try task.examples(at: location).map(\.id)
    let lines = zip(ids, outcomes).map { id, outcome in
      var members: [String: JSON] = [
        "id": .string(id), "prediction": .string(outcome.answer.shown(labels: task.labels)),
        "target": .string(outcome.expectation.shown),
      ]
      if task.metrics != .regression { members["correct"] = .bool(outcome.isCorrect(labels: task.labels)) }
      return JSON.object(members).encoded(.compact) + "\n"
    }
    try AtomicFile.write(Array(lines.joined().utf8), to: URL(fileURLWithPath: path))
  }

  /// Inputs, labels and logits padded on the right: what another program needs to compare itself.
  @MainActor
  private func dump(_ set: EvaluationSet, evaluator: LeafEvaluator, to url: URL) throws {
    let members = set.examples.map { set.dataset[$0] }
    let (width, targetWidth) = (members.map(\.source.count).max() ?? 0, members.map(\.target.count).max() ?? 0)
    let vocabulary = evaluator.model.description.outputSize
    let logits = Tensor(zeros: [members.count, targetWidth, vocabulary])
    var ids: [Int64] = []
    var mask: [Int64] = []
    var labels: [Int64] = []
    let pool = BufferPool()
    let sites = evaluator.sites(pool: pool)
    for (row, member) in members.enumerated() {
      let batch = LeafBatch(
        sources: [member.source], labels: [member.target], examples: [UInt32(member.index)],
        secondStarts: [member.secondStart])
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
    var tensors = [("logits", logits)]
    var integers: [SafetensorsWriter.Integers] = [
      .init("input_ids", shape: [members.count, width], values: ids),
      .init("attention_mask", shape: [members.count, width], values: mask),
    ]
    let labelShape = [members.count, targetWidth]
    if evaluator.model.description.head?.problem == .regression {
      let values = labels.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) }
      tensors.append(("labels", Tensor(values, shape: labelShape)))
    } else {
      integers.append(.init("labels", shape: labelShape, values: labels))
    }
    try SafetensorsWriter.write(tensors: tensors, integers: integers, to: url)
  }
}

extension Workplace {
  /// The method of an adapter folder; the base alone without one.
  func method(adapter: String?) throws -> any PEFTMethod {
    guard let adapter else { return FrozenBase() }
    return try MethodCatalogue.read(folder: URL(fileURLWithPath: adapter), model: model)
  }
}
