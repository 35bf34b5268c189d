import Checkpoints
import NN
import Tasks
import Training
import Yams

extension TrainCommand {
  /// Settings that no flag sets: what the run was made on.
  static let found: Set = ["model_identity", "train_examples", "train_data", "validation_data"]

  /// Every setting by its name, resolved. Those that alter no byte of the result come last.
  ///
  /// - Parameters:
  ///   - learningRate: nil where the optimizer finds its own.
  ///   - learningRateOf: of several methods that of each.
  func settings(
    totalSteps: Int, learningRate: Double?, learningRateOf: String?, dropout: DropoutRates, encoding: ExampleEncoding,
    labels: [String],
    modelIdentity: String,
    trainCount: Int, trainData: String, validationData: String?, leafTokens: Int
  ) -> [RunConfiguration.Setting] {
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    func number(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
    // Rates that differ from place to place are those of the model, which model_identity stands for.
    func rate(_ rates: DropoutRates) -> JSON {
      self.dropout.map { .double($0) } ?? rates.common.map { .double(Double($0)) } ?? .null
    }
    let altering: [(String, JSON)] = [
      ("task", text(data.task)), ("lowercase", .bool(data.lowercase)), ("strip_html", .bool(data.stripHtml)),
      ("max_source_length", .integer(encoding.form == .continuation ? encoding.textLength : encoding.source)),
      ("max_target_length", .integer(encoding.target)),
      ("validation_fraction", .double(validationFraction)), ("eval_limit", number(evalLimit)),
      ("eval_every", number(evalEvery)), ("eval_on_start", evalOnStart ? true : .null),
      ("label_names", data.labelNames == nil ? .null : .string(labels.joined(separator: ","))),
      ("noise_density", data.task == CorpusTask().name ? .double(data.noiseDensity) : .null),
      ("mean_span_length", data.task == CorpusTask().name ? .double(data.meanSpanLength) : .null),
      ("loss_on", encoding.form == .continuation ? .string(lossOn.rawValue) : .null),
    ]
    let arithmetic: [(String, JSON)] = [
      ("leaf_tokens", .integer(leafTokens)), ("precision", .string(leaf.precision)),
      ("global_batch_size", .integer(globalBatchSize)), ("steps", .integer(totalSteps)),
      ("optimizer", .string(optimizer)), ("learning_rate", learningRate.map { .double($0) } ?? .null),
      ("scale_parameter", scaleParameter ? true : .null),
      ("learning_rate_of", text(learningRateOf)), ("init_adapter", text(initAdapter)),
      ("schedule", .string(schedule)),
      ("warmup_steps", .integer(warmupSteps)), ("weight_decay", .double(weightDecay)),
      ("max_grad_norm", .double(maxGradNorm)), ("non_finite", .string(nonFinite)), ("dropout", rate(dropout)),
      ("activation_cache_precision", .string(cache.activationCachePrecision)),
      ("seed", .integer(Int(seed))), ("ignore_mismatched_head", ignoreMismatchedHead ? true : .null),
    ]
    let scaling = Self.settings(lossScaling ?? .unscaled)
    let harmless: [(String, JSON)] = [
      ("model", .string(model.model)), ("data_dir", text(data.dataDir)), ("train_file", text(trainFile)),
      ("eval_file", text(evalFile)), ("test_file", text(testFile)), ("save_every", number(saveEvery)),
      ("keep_checkpoints", .integer(keepCheckpoints)), ("log_every", .integer(logEvery)),
      ("threads_per_rank", number(leaf.threadsPerRank)), ("products", text(leaf.products?.rawValue)),
      ("stall_timeout_seconds", .double(watch.stallTimeoutSeconds)), ("cache_dir", text(data.cacheDir)),
      ("activation_cache", .string(cache.activationCache)), ("activation_cache_dir", text(cache.activationCacheDir)),
    ]
    return (altering + method.settings + generation + arithmetic + scaling).map { .init($0.0, $0.1) }
      + harmless.map { .init($0.0, $0.1, altersResult: false) }
      + [
        .init("model_identity", .string(modelIdentity)), .init("train_examples", .integer(trainCount)),
        .init("train_data", .string(trainData)), .init("validation_data", text(validationData)),
      ]
  }

  /// How answers are generated that judge, by the names of the flags.
  var generation: [(String, JSON)] {
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    func number(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
    let answers: [(String, JSON)] = [
      ("num_beams", .integer(search.beamCount)), ("length_penalty", search.lengthPenalty.map { .double($0) } ?? .null),
      ("early_stopping", text(search.earlyStopping)), ("min_new_tokens", .integer(search.minNewTokens ?? 0)),
      ("min_length", .integer(search.minLength ?? 0)),
      ("no_repeat_ngram_size", .integer(search.noRepeatNgramSize ?? 0)),
      ("repetition_penalty", .double(search.repetitionPenalty ?? 1)),
    ]
    let sampling: [(String, JSON)] =
      (search.stop.isEmpty ? [] : [("stop", .array(search.stop.map { .string($0) }))])
      + [
        ("suppress_tokens", search.suppressTokens), ("begin_suppress_tokens", search.beginSuppressTokens),
        ("bad_words_ids", search.badWordsIds), ("forced_bos_token_id", search.forcedBosTokenId),
        ("forced_eos_token_id", search.forcedEosTokenId),
      ].compactMap { key, value in value.map { (key, .string($0)) } }
      + (search.doSample == false ? [("do_sample", false)] : [])
      + (search.isSampling
        ? [
          ("do_sample", true), ("temperature", .double(search.temperature ?? 1)), ("top_k", number(search.topK)),
          ("top_p", .double(search.topP ?? 1)), ("min_p", .double(search.minP ?? 0)),
        ] : [])
    return answers + sampling
  }

  private static func settings(_ scaling: LossScaling) -> [(String, JSON)] {
    switch scaling {
    case .unscaled: [("loss_scale", "none")]
    case .constant(let scale): [("loss_scale", .double(Double(scale)))]
    case .dynamic(let initial, let window):
      [
        ("loss_scale", "dynamic"), ("initial_loss_scale", .double(Double(initial))),
        ("loss_scale_window", .integer(window)),
      ]
    }
  }

  /// The settings as a file that `--config` reads back: those that are set.
  func yaml(_ settings: [RunConfiguration.Setting]) throws -> String {
    let pairs = settings.filter { $0.value != .null && !Self.found.contains($0.key) }
      .map { (Node($0.key), $0.value.node) }
    let node = Node.mapping(.init(pairs))
    return "# The resolved configuration of this run; train --config reads it.\n" + (try Yams.serialize(node: node))
  }
}

extension JSON {
  /// A scalar, or a list of scalars, as YAML reads it back.
  fileprivate var node: Node {
    switch self {
    case .string(let text): Node(text)
    case .array(let elements): Node(elements.map(\.node))
    default: Node(encoded(.compact))
    }
  }
}
