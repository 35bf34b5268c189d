import Autograd
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import Models
import NN
import PEFTMethods
import Tasks
import TensorCore
import Tokenization
import Training

/// What every command that runs a model has: base, tokenizer, leaf workers.
@MainActor
struct Workplace {
  let world: World?
  let folder: ModelFolder
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let workers: LeafPool
  /// Frozen projections in the precision that was asked for.
  let weights: FrozenWeights
  /// Data that was read here, for the next run in the same place.
  private let data: DatasetShelf
  private let head: HeadRequest
  /// Of the base as it was opened.
  private let modelStamps: [ModelFolder.Stamp]

  /// - Parameters:
  ///   - head: what the task wants of a classifier.
  ///   - threads: leaf workers; nil for the cores this rank may use.
  ///   - cache: folder for weights in another precision.
  ///   - packsHead: whether the output head is packed in fp32 too: decoding reads it with every token, training for few.
  init(
    _ folder: ModelFolder, head: HeadRequest = HeadRequest(), threads: Int?, precision: Precision = .fp32, cache: URL,
    packsHead: Bool = false, world: World?
  ) throws {
    self.world = world
    self.folder = folder
    self.head = head
    data = DatasetShelf()
    PhaseBoard.enter("loading the model")
    model = try ModelCatalogue.load(folder, head: head)
    tokenizer = try TokenizerCatalogue.load(folder: folder.url, modelType: folder.modelType ?? "")
    try tokenizer.validate(modelVocabularySize: model.description.vocabularySize)
    modelStamps = folder.stamps()
    weights = try Self.weights(
      of: model, precision, folder: folder, cache: cache, packsHead: packsHead, over: world)
    if let note = precision.note { RunLog.notice(note) }
    let count = try threads ?? Self.coresForThisRank(world)
    workers = try LeafPool(threadCount: count)
    if let world, let warning = try CPUAffinity.bindingWarning(threads: count, world: world) {
      RunLog.warning(warning)
    }
  }

  /// The place with another head on the base, for a run of another task or seed; itself where that is no matter.
  init(_ other: Workplace, head: HeadRequest, cache: URL) throws {
    (world, folder, tokenizer, workers, data) = (other.world, other.folder, other.tokenizer, other.workers, other.data)
    modelStamps = other.modelStamps
    guard other.model.description.head != nil, head != other.head else {
      (self.head, model, weights) = (other.head, other.model, other.weights)
      return
    }
    self.head = head
    model = try ModelCatalogue.load(folder, head: head)
    // The file is that of the place before, which has been looked at.
    weights = try Self.weights(
      of: model, other.weights.precision, folder: folder, cache: cache, isShared: (world?.localSize ?? 1) > 1,
      isChecked: true)
  }

  /// The same on all ranks of a job: the first one of each node looks whether what is there is whole, and makes it where it is
  /// not, while the others wait.
  static func weights(
    of model: any LanguageModel, _ precision: Precision, folder: ModelFolder, cache: URL, packsHead: Bool = false,
    over world: World?
  ) throws -> FrozenWeights {
    let (isFirst, isShared) = (world?.localRank ?? 0 == 0, (world?.localSize ?? 1) > 1)
    func own(isChecked: Bool) throws -> FrozenWeights {
      try weights(
        of: model, precision, folder: folder, cache: cache, packsHead: packsHead, isShared: isShared,
        isChecked: isChecked)
    }
    let first = isFirst ? try own(isChecked: false) : nil
    try MainActor.assumeIsolated { try world?.barrier() }
    return try first ?? own(isChecked: true)
  }

  /// The projections; the output head in bfloat16 and where it is wanted, but not that of a classifier, which is trained.
  private static func weights(
    of model: any LanguageModel, _ precision: Precision, folder: ModelFolder, cache: URL, packsHead: Bool = false,
    isShared: Bool, isChecked: Bool
  ) throws -> FrozenWeights {
    let description = model.description
    let includesHead = (packsHead || precision == .bf16) && description.kind != .classifier
    let linears = description.linears.filter { includesHead || !description.outputHeadPaths.contains($0.path) }
    return try FrozenWeights(
      linears, precision, identity: folder.identity(), directory: cache, isShared: isShared, isChecked: isChecked)
  }

  /// The cores of this rank's binding, shared fairly among the ranks of the machine that have the same binding, and its
  /// part of the CPU time that the machine's control group allows.
  private static func coresForThisRank(_ world: World?) throws -> Int {
    let own = CPUAffinity.cores()
    guard let world else { return CPUAffinity.usableCoreCount }
    let description = "\(world.hostName) \(own.sorted())"
    let sharing = try world.gatherAtAll(description).count { $0 == description }
    let quota = ControlGroup.ofThisProcess.wholeCores.map { $0 / world.localSize }
    return max(1, min(own.count / max(1, sharing), quota ?? .max))
  }

  /// Ids of each label as the task's targets write it, without special tokens.
  func labelIDs(_ task: any TextTask) -> [[Int32]] {
    task.labels.map { tokenizer.tokens(of: task.options.form == .continuation ? " \($0)" : $0) }
  }

  /// Most target tokens: as given; for a task with labels what the longest one needs and one more, so that a longer
  /// answer is seen not to be a label.
  func maxTargetLength(_ flags: DataFlags, _ task: any TextTask) -> Int {
    flags.maxTargetLength ?? labelIDs(task).map { $0.count + 2 }.max() ?? 128
  }

  /// Refuses labels that the vocabulary cannot write, or not apart from each other, or that the length limit cuts: a model
  /// could not answer with them, and examples with them would not be judged by their own label.
  ///
  /// - Throws: `LabelProblem` naming the label.
  private func requireWritableLabels(_ task: any TextTask, targetLength: Int) throws {
    guard task.options.form != .classification, case .labels = task.metrics else { return }
    let all = labelIDs(task)
    for (number, (label, ids)) in zip(task.labels, all).enumerated() {
      guard ids.count + 1 <= targetLength else {
        throw LabelProblem(
          label: label,
          reason:
            "takes \(ids.count + 1) tokens with the end, and --max-target-length is \(targetLength); raise that to at least \(ids.count + 1)"
        )
      }
      let written = tokenizer.decode(ids, skippingSpecialTokens: true).trimmingCharacters(in: .whitespacesAndNewlines)
      guard written.utf8.elementsEqual(label.trimmingCharacters(in: .whitespacesAndNewlines).utf8) else {
        throw LabelProblem(
          label: label,
          reason:
            "comes back as '\(written)' from the tokenizer \(tokenizer.url.path), which cannot write it; name the labels otherwise (--label-names)"
        )
      }
      if let twin = all[..<number].firstIndex(of: ids) {
        throw LabelProblem(
          label: label,
          reason: "has the same tokens as the label '\(task.labels[twin])'; name the labels otherwise (--label-names)")
      }
    }
  }

  struct LabelProblem: DescribedError, Equatable {
    let label: String
    let reason: String
    var description: String { "the label '\(label)' \(reason)" }
  }

  /// How the task's examples become ids for this model under `method`.
  ///
  /// - Throws: `TrainingError.tooLong` where a sequence would have more positions than the model.
  func encoding(
    _ flags: DataFlags, _ task: any TextTask, _ method: any PEFTMethod, trainsOnSource: Bool = false
  ) throws -> ExampleEncoding {
    if task.metrics == .tokens, task.options.form == .continuation {
      return try encodingOfTexts(flags, method, trainsOnSource: trainsOnSource)
    }
    let target = maxTargetLength(flags, task)
    try requireWritableLabels(task, targetLength: target)
    let source = try sourceLimit(
      flags.maxSourceLength, method, target: ("--max-target-length", task.options.form == .continuation ? target : 0))
    var textLength: Int?
    if case .spanCorruption(let corruption) = try objective(flags, task) {
      textLength = corruption.textLength(sourceLength: source)
    }
    return ExampleEncoding(
      form: task.options.form, source: source, target: target, trainsOnSource: trainsOnSource, textLength: textLength)
  }

  /// Of a corpus for a decoder: a plain text, which is all target, may fill the model's positions, and a pair shares them.
  private func encodingOfTexts(
    _ flags: DataFlags, _ method: any PEFTMethod, trainsOnSource: Bool
  ) throws -> ExampleEncoding {
    let text = try sourceLimit(flags.maxSourceLength, method)
    let target = flags.maxTargetLength ?? min(128, text / 2)
    let room = model.description.positionCount.map { $0 - method.occupiedPositionCount - target } ?? text
    guard room >= 2 else { throw tooLong("--max-target-length", target, most: room + target - 2, method) }
    return ExampleEncoding(
      form: .continuation, source: min(text, room), target: target, trainsOnSource: trainsOnSource, textLength: text)
  }

  /// What makes source and target of the plain texts of a task; nil where it has none, and for a decoder, which needs nothing.
  ///
  /// - Throws: `TrainingError.noObjective` where the tokenizer lacks the tokens for it.
  func objective(_ flags: DataFlags, _ task: any TextTask) throws -> Objective? {
    guard task.metrics == .tokens else { return nil }
    switch model.description.kind {
    case .decoder, .classifier: return nil
    case .encoderDecoder:
      guard let t5 = tokenizer as? T5Tokenizer, t5.sentinelCount >= 2, let first = t5.sentinelID(0) else {
        throw TrainingError.noObjective(tokenizer: tokenizer.url.path, expected: "at least 2 sentinels <extra_id_0>, …")
      }
      var corruption = SpanCorruption(firstSentinel: first, sentinelCount: t5.sentinelCount, eosID: t5.eosID)
      corruption.noiseDensity = flags.noiseDensity
      corruption.meanSpanLength = flags.meanSpanLength
      return .spanCorruption(corruption)
    case .maskedTokens:
      guard let mask = tokenizer.maskID else {
        throw TrainingError.noObjective(tokenizer: tokenizer.url.path, expected: "a mask token")
      }
      var masking = MaskedLanguageModelling(
        maskID: mask, vocabularySize: tokenizer.vocabularyCount, specialIDs: tokenizer.specialIDs)
      masking.targetShare = flags.noiseDensity
      return .masked(masking)
    }
  }

  /// Most tokens of a source: as asked for, by default 512, within what the model has positions for.
  ///
  /// - Parameter target: the option that says how long a target behind the source may be, and its value.
  /// - Throws: `TrainingError.tooLong`.
  func sourceLimit(_ asked: Int?, _ method: any PEFTMethod, target: (option: String, length: Int) = ("", 0)) throws
    -> Int
  {
    guard let positions = model.description.positionCount else { return asked ?? 512 }
    let room = positions - method.occupiedPositionCount
    // Of source and target there are two tokens and one at least.
    guard room >= 2 + min(target.length, 1) else {
      let most = positions - 2 - min(target.length, 1)
      throw tooLong("--virtual-tokens", method.occupiedPositionCount, most: most, method)
    }
    guard room - target.length >= 2 else { throw tooLong(target.option, target.length, most: room - 2, method) }
    let wanted = asked ?? min(512, room - target.length)
    guard wanted <= room - target.length else {
      throw tooLong("--max-source-length", wanted, most: room - target.length, method, target: target.length)
    }
    return wanted
  }

  private func tooLong(
    _ option: String, _ value: Int, most: Int, _ method: any PEFTMethod, target: Int = 0
  ) -> TrainingError {
    .tooLong(
      option: option, value: value, most: most, positions: model.description.positionCount ?? 0,
      virtual: method.occupiedPositionCount, target: target)
  }

  /// The examples of a file or folder as ids: from the token cache if the run looks at most of them. Read once for all
  /// runs in this place, which have the task in common.
  func dataset(
    _ location: URL, task: any TextTask, encoding: ExampleEncoding, flags: DataFlags, visits: Int?
  ) throws -> EncodedDataset {
    try data.dataset(named: "\(location.path) \(encoding) \(visits.map(String.init) ?? "all")") {
      try read(location, task: task, encoding: encoding, flags: flags, visits: visits)
    }
  }

  /// SHA-256 of what the data at `location` holds; read once for all runs in this place.
  ///
  /// - Throws: `TrainingError.ranksDiffer` where the nodes of `world` see different data.
  func digest(ofData location: URL, over world: World?) throws -> String {
    try RankAgreement.digest(of: "the data", at: location, over: world) { try data.digest(of: location) }
  }

  /// Compares program, base, tokenizer and adapters between the ranks of `world`; gives the identity of the base.
  ///
  /// - Throws: `TrainingError.ranksDiffer` naming what differs, ranks, hosts and files.
  func agree(over world: World?, adapters: [String]) throws -> String {
    let identity = try RankAgreement.digest(of: "the base model", at: folder.url, over: world) { try folder.identity() }
    guard let world, world.size > 1 else { return identity }
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    _ = try RankAgreement.digest(of: "the program", at: program, over: world) { try sha256(of: program) }
    _ = try RankAgreement.digest(of: "the tokenizer", at: tokenizer.url, over: world) { tokenizer.identity }
    for url in adapters.map({ URL(fileURLWithPath: $0) }) {
      _ = try RankAgreement.digest(of: "the adapter", at: url, over: world) { try FolderDigest.sha256(of: url) }
    }
    return identity
  }

  /// Sees to it that the base is still the one that ``agree(over:adapters:)`` has read: whoever writes into its files while they
  /// are mapped changes what is computed.
  ///
  /// - Throws: `ChangedModel`.
  func requireUnchangedModel(_ identity: String) throws {
    guard folder.mayBeWritten(since: modelStamps) else { return }
    guard try folder.identity() == identity else { throw ChangedModel(path: folder.url.path) }
  }

  struct ChangedModel: DescribedError, Equatable {
    let path: String
    var description: String {
      "the weights in \(path) were written to during the run, so that its result belongs to no model; no adapter is saved. Fetch the "
        + "model again and start afresh; replace its files by renaming others over them"
    }
  }

  private func read(
    _ location: URL, task: any TextTask, encoding: ExampleEncoding, flags: DataFlags, visits: Int?
  ) throws -> EncodedDataset {
    // A plain text may be several examples, so that nobody knows their number before all are read.
    if let visits, task.metrics != .tokens {
      let examples = try task.examples(at: location)
      if !EncodedDataset.needsWholeSet(visits: visits, count: examples.count) {
        return EncodedDataset(onDemand: examples, tokenizer: tokenizer, encoding: encoding)
      }
    }
    return try EncodedDataset(
      wholeSetAt: location, task: task, tokenizer: tokenizer, encoding: encoding,
      cache: TokenCache(directory: flags.cacheFolder), threads: CPUAffinity.usableCoreCount,
      digest: data.digest(of: location), warn: { RunLog.warning($0) })
  }

  /// Examples to judge by, of the data at `location`.
  ///
  /// - Throws: `DataError.noExamples` for none.
  func evaluationSet(
    _ dataset: EncodedDataset, examples: [Int], task: any TextTask, location: URL, flags: DataFlags
  ) throws -> EvaluationSet {
    guard !examples.isEmpty else { throw DataError.noExamples(location) }
    // A label, and what a classifier is to give, lies in the encoded target; free text is judged as it was written.
    let isEncoded: Bool =
      switch task.metrics {
      case .labels: true
      case .regression: task.options.form == .classification
      case .text: false
      case .tokens: true
      }
    guard !isEncoded else {
      let made = try objective(flags, task).map { dataset.judged(by: $0) } ?? dataset
      return EvaluationSet(dataset: made, examples: examples, metrics: task.metrics)
    }
    let texts = try task.examples(at: location)
    return EvaluationSet(
      dataset: dataset, examples: examples, metrics: task.metrics,
      expectations: examples.map { Expectation(texts[$0]) })
  }

  /// Refuses a classifier whose head was drawn just now, as the checkpoint has none.
  func requireTrainedHead() throws {
    guard model.description.head?.isFresh == true else { return }
    throw CheckpointError.missing(
      path: "a classifier's head in \(folder.url.path)", purpose: "one drawn at random would say nothing",
      remedy: "give --adapter, or a model that was trained to classify")
  }

  /// The model, if it writes text.
  ///
  /// - Throws: `CheckpointError.wrongModelType` for a classifier.
  func writer() throws -> any GenerativeModel {
    if let writer = model as? any GenerativeModel { return writer }
    throw CheckpointError.wrongModelType(
      path: folder.config.origin, expected: ["t5", "gpt2"],
      found: "'\(model.description.modelType)', a classifier, which writes no text: see classify and evaluate")
  }
}
