import ArgumentParser
import Collectives
import Diagnostics
import Foundation
import NN
import Training

/// What is kept of layers that nothing trainable lies below.
struct ActivationCacheFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Keep what frozen first layers give for each example: auto (from the second epoch on that saves their work), off, or "
        + "the most room to use on a machine, such as 4GB. Alters no byte of the result.", valueName: "auto|off|size"))
  var activationCache = "auto"
  @Option(
    help: ArgumentHelp(
      "Folder of the activation cache, such as /dev/shm (default: the cache folder).", valueName: "dir"))
  var activationCacheDir: String?
  @Option(
    help: ArgumentHelp(
      "Width in which such states are kept: fp32, or bf16, which rounds them, kept or not.", valueName: "name"))
  var activationCachePrecision = "fp32"

  var limit: ActivationCacheLimit? { ActivationCacheLimit(activationCache) }
  var precision: StatePrecision? { StatePrecision(rawValue: activationCachePrecision) }

  func validate() throws {
    guard limit != nil else {
      throw ValidationError("--activation-cache \(activationCache): expected auto, off or a size such as 4GB or 512MiB")
    }
    guard precision != nil else {
      throw ValidationError("--activation-cache-precision \(activationCachePrecision): expected fp32 or bf16")
    }
  }
}

extension TrainRun {
  /// The layers that need be computed once for each example; nil where the first one is trained, or dropout makes every
  /// step different.
  static func frozenLayers(
    _ flags: ActivationCacheFlags, _ model: any LanguageModel, _ method: any PEFTMethod, dropout: DropoutRates
  ) -> FrozenLayers? {
    let layers = FrozenLayers(model, method, precision: flags.precision ?? .fp32)
    if layers != nil, dropout.largest == 0 { return layers }
    if case .bytes = flags.limit {
      RunLog.notice(
        "no activation cache: "
          + (layers == nil
            ? "\(method.name) trains the first layer of the model"
            : "with dropout \(dropout) the states of an example differ from step to step; --dropout 0 allows it"))
    }
    return nil
  }

  /// Gives the trainer room for what its frozen layers give: for the whole run where examples are seen again, and for the
  /// others of a step, so that all workers of a node share that work.
  func startCache(_ trainer: Trainer, keeps: Bool = true) throws {
    guard let frozen, let limit = flags.cache.limit else { return }
    let description = place.model.description
    let stepsPerEpoch = (split.train.count + flags.globalBatchSize - 1) / flags.globalBatchSize
    let isSeenAgain = configuration.totalSteps - trainer.step > stepsPerEpoch
    if case .bytes = limit, !isSeenAgain {
      RunLog.notice("no activation cache: no example is seen twice in the steps ahead")
    }
    let kept = keeps && isSeenAgain && limit != .off ? split.train : []
    let folder =
      flags.cache.activationCacheDir.map { URL(fileURLWithPath: $0) }
      ?? flags.data.cacheFolder.appendingPathComponent("activations")
    var request = ActivationCache.Request(
      examples: zip(kept, train.lengths(of: kept)).map { (index: $0, rows: $1.source) },
      limit: kept.isEmpty ? .off : limit, width: description.hiddenSize, precision: frozen.precision, folder: folder)
    if (world?.localSize ?? 1) * place.workers.threadCount > 1 {
      request.stepExamples = flags.globalBatchSize
      request.stepRows = flags.globalBatchSize * encoding.source
    }
    let cache = try ActivationCache.onEachNode(request, world: world)
    if let cache { trainer.use(cache) }
    guard !kept.isEmpty else { return }
    let layers = "\(min(frozen.depth, description.layerCount)) of \(description.layerCount) first layers are frozen; "
    guard let cache, cache.exampleCount > 0 else {
      RunLog.notice(layers + "there is no room to keep what they give for an example")
      return
    }
    RunLog.notice(
      layers + "what they give for \(ReadableNumbers.grouped(cache.exampleCount)) of "
        + "\(ReadableNumbers.grouped(split.train.count)) examples is computed once and kept "
        + "(\(ReadableNumbers.bytes(cache.byteCount)) in \(folder.path))")
  }
}
