import Autograd
import Checkpoints
import TensorCore

/// A part of a block with a residual connection around it.
public struct Sublayer: Sendable {
  public enum Kind: Sendable {
    case selfAttention
    case crossAttention
    case feedForward
  }

  /// Module path, such as `encoder.block.0.layer.0`: what the seam `sublayerOutput` is asked with.
  public let path: String
  public let kind: Kind

  public init(path: String, kind: Kind) {
    self.path = path
    self.kind = kind
  }
}

/// What a model does with its input, in the words of HF PEFT's `task_type`.
public enum ModelKind: String, Sendable {
  /// An encoder reads the source, a decoder writes the target.
  case encoderDecoder = "SEQ_2_SEQ_LM"
  /// A decoder goes on from the source with the target.
  case decoder = "CAUSAL_LM"
  /// An encoder reads the source, a head gives a score for each label, or values.
  case classifier = "SEQ_CLS"
  /// An encoder reads a text and names those of its tokens that are masked. HF PEFT has no word for it.
  case maskedTokens = "FEATURE_EXTRACTION"
}

/// The head of a classifier, which every method trains beside its own parameters (HF PEFT's `modules_to_save`).
public struct ClassifierHead: Sendable {
  /// What the scores mean: HF's `problem_type`.
  public enum Problem: String, Sendable {
    case singleLabel = "single_label_classification"
    case regression
    case multiLabel = "multi_label_classification"
  }

  /// The module it is saved as, `classifier`.
  public let module: String
  public let parameters: [Parameter]
  public let problem: Problem
  /// Label names by number: `id2label`.
  public let labels: [String]
  /// Whether the checkpoint had no such head, so that it starts from random values.
  public let isFresh: Bool
  /// For how many labels the checkpoint's head was that this one stands for; nil where it is used, or there is none.
  public let replacedLabelCount: Int?

  public init(
    module: String, parameters: [Parameter], problem: Problem, labels: [String], isFresh: Bool,
    replacedLabelCount: Int? = nil
  ) {
    self.replacedLabelCount = replacedLabelCount
    self.module = module
    self.parameters = parameters
    self.problem = problem
    self.labels = labels
    self.isFresh = isFresh
  }
}

/// What a method and the command line need to know of a model, without knowing the model.
public struct ModelDescription: Sendable {
  /// `model_type` of config.json.
  public let modelType: String
  public let hiddenSize: Int
  public let vocabularySize: Int
  public let layerCount: Int
  public let decoderLayerCount: Int
  public let headCount: Int
  /// Width of a head; in T5, heads times this may differ from the hidden size.
  public let headWidth: Int
  /// Dropout rates of the checkpoint.
  public let dropoutRates: DropoutRates
  public let kind: ModelKind
  /// Every projection, in model order; the output head is among them.
  public let linears: [Linear]
  /// Every sub-layer, in model order.
  public let sublayers: [Sublayer]
  /// Paths of the projections of the output head, such as `lm_head`: never part of "all-linear".
  public let outputHeadPaths: [String]
  /// Paths of projections that only the rows pass which the output head reads: in the last layer, what lies behind keys and
  /// values.
  public let lateLinearPaths: [String]
  /// The classification head; nil of a model that writes text.
  public let head: ClassifierHead?
  /// HF's name of the model's class, such as `T5ForConditionalGeneration`.
  public let architecture: String
  /// Most positions of a sequence, virtual tokens and prefixes included; nil where positions are relative.
  public let positionCount: Int?
  /// The word embedding, from whose rows prompts start.
  public let wordEmbedding: Parameter
  /// Names of the projections LoRA adapts unless told otherwise (HF PEFT's table).
  public let defaultLoRATargets: [String]
  /// The same for IA3, and those among them whose input is scaled instead of the output.
  public let defaultIA3Targets: [String]
  public let defaultIA3FeedForward: [String]
  /// Path segment before a layer's number, such as `block`: LoRA's `layers_pattern`.
  public let layersPattern: [String]
  public let padID: Int32
  public let eosIDs: [Int32]

  public init(
    modelType: String, hiddenSize: Int, vocabularySize: Int, layerCount: Int, decoderLayerCount: Int, headCount: Int,
    headWidth: Int, dropoutRates: DropoutRates, kind: ModelKind, linears: [Linear], sublayers: [Sublayer],
    outputHeadPaths: [String], lateLinearPaths: [String] = [], head: ClassifierHead? = nil, architecture: String,
    positionCount: Int? = nil,
    wordEmbedding: Parameter,
    defaultLoRATargets: [String], defaultIA3Targets: [String], defaultIA3FeedForward: [String],
    layersPattern: [String], padID: Int32, eosIDs: [Int32]
  ) {
    self.modelType = modelType
    self.hiddenSize = hiddenSize
    self.vocabularySize = vocabularySize
    self.layerCount = layerCount
    self.decoderLayerCount = decoderLayerCount
    self.headCount = headCount
    self.headWidth = headWidth
    self.dropoutRates = dropoutRates
    self.kind = kind
    self.linears = linears
    self.sublayers = sublayers
    self.outputHeadPaths = outputHeadPaths
    self.lateLinearPaths = lateLinearPaths
    self.head = head
    self.architecture = architecture
    self.positionCount = positionCount
    self.wordEmbedding = wordEmbedding
    self.defaultLoRATargets = defaultLoRATargets
    self.defaultIA3Targets = defaultIA3Targets
    self.defaultIA3FeedForward = defaultIA3FeedForward
    self.layersPattern = layersPattern
    self.padID = padID
    self.eosIDs = eosIDs
  }
}

extension ModelDescription {
  /// The stack that reads the source: where soft prompts stand.
  public var sourceStack: Stack { kind == .decoder ? .decoder : .encoder }
  /// Special tokens that stand in front of the texts a model reads, between those of a pair, and behind them.
  public var specialTokens: (front: Int, between: Int, back: Int) {
    switch kind {
    case .encoderDecoder: (0, 1, 1)
    case .decoder: (0, 0, 0)
    case .classifier, .maskedTokens: (1, modelType == "roberta" ? 2 : 1, 1)
    }
  }
  /// Width of a row of logits.
  public var outputSize: Int { head?.labels.count ?? vocabularySize }
  /// Bytes that a decoder keeps of each token of its past: keys and values of every layer.
  public var cacheBytes: Int { 2 * decoderLayerCount * headCount * headWidth * MemoryLayout<Float>.stride }
  /// What a checkpoint of this model with its head must say in its `config.json`; nothing for a model that writes text.
  public var configurationChanges: [String: JSON] {
    guard let head else { return [:] }
    let names = head.labels.enumerated()
    return [
      "architectures": [.string(architecture)], "problem_type": .string(head.problem.rawValue),
      "id2label": .object(Dictionary(uniqueKeysWithValues: names.map { ("\($0)", .string($1)) })),
      "label2id": .object(Dictionary(names.map { ($1, .integer($0)) }, uniquingKeysWith: { first, _ in first })),
    ]
  }
  /// Whether projections are stored `[in, out]`, as GPT-2's are: PEFT's `fan_in_fan_out`.
  public var fanInFanOut: Bool { linears.first?.layout == .inputByOutput }

  /// Tokens a leaf should hold unless told otherwise: the power of two from 256 to 1,024 that keeps about 128 MB for the
  /// backward pass (some six hidden states a layer and token). Larger leaves read the decoder's weights less often.
  public var leafTokens: Int {
    let kept = 6 * hiddenSize * layerCount * MemoryLayout<Float>.stride
    return [1024, 512].first { $0 * kept <= 128 << 20 } ?? 256
  }
}

/// What a model reads of some examples, as ids.
public struct SourceBatch: Sendable {
  /// Special tokens included, no padding.
  public let sources: [[Int32]]
  /// Where the second text of a pair begins in each source; the source's length for a single text.
  public let secondStarts: [Int]
  /// Index of each example in its data set.
  public let examples: [UInt32]

  public init(sources: [[Int32]], examples: [UInt32], secondStarts: [Int]? = nil) {
    precondition(sources.count == examples.count, "\(sources.count) sources of \(examples.count) examples")
    self.sources = sources
    self.examples = examples
    self.secondStarts = secondStarts ?? sources.map(\.count)
  }

  /// Some of them.
  public func part(_ range: Range<Int>) -> SourceBatch {
    SourceBatch(
      sources: Array(sources[range]), examples: Array(examples[range]), secondStarts: Array(secondStarts[range]))
  }
}

/// The examples of one leaf, as ids.
public struct LeafBatch: Sendable {
  /// What the model reads of each example, special tokens included, no padding.
  public let sources: [[Int32]]
  /// Targets of each example; `ignoredLabel` marks positions that are no target. Of a classifier one label each, or the
  /// bits of the values of a regression.
  public let labels: [[Int32]]
  /// Where the second text of a pair begins in each source; the source's length for a single text.
  public let secondStarts: [Int]
  /// Index of each example in its data set: what dropout is keyed by.
  public let examples: [UInt32]

  public init(sources: [[Int32]], labels: [[Int32]], examples: [UInt32], secondStarts: [Int]? = nil) {
    precondition(sources.count == labels.count && sources.count == examples.count, "a leaf's lists differ in length")
    self.sources = sources
    self.labels = labels
    self.secondStarts = secondStarts ?? sources.map(\.count)
    self.examples = examples
  }

  /// What is read.
  public var read: SourceBatch { SourceBatch(sources: sources, examples: examples, secondStarts: secondStarts) }
  public var targetCount: Int { labels.reduce(0) { $0 + $1.count { $0 != ignoredLabel } } }
  public var sourceTokenCount: Int { sources.reduce(0) { $0 + $1.count } }
}

/// A model: one file in `Models`, whose forward pass is written once for training and evaluation.
public protocol LanguageModel: AnyObject, Sendable {
  var description: ModelDescription { get }
  /// Every tensor of the model once, under its checkpoint name, in a fixed order.
  var parameters: [Parameter] { get }

  /// The sum of the losses of each example's targets, which no other example reaches; seeds the backward pass with
  /// `gradientScale` times the gradient of all.
  func losses(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> [Double]
  /// Logits `[sum of label lengths, V]` in packed order; of a classifier `[examples, labels]`.
  func logits(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable
  /// How many leading stages nothing trainable touches, as the pass's seams and stand-ins have it: their output for an
  /// example never changes. A stage is a block of the stack that reads the source, the last one its final norm. The pass
  /// records gradients.
  func frozenDepth(_ pass: ForwardPass) -> Int
  /// Output `[n, D]` of the first `depth` stages for a source `[n]` alone: what passes with `FrozenStates` start from.
  func frozenStates(source: [Int32], depth: Int, _ pass: ForwardPass) -> Tensor
}

extension LanguageModel {
  /// Sum of the losses of a leaf's targets; seeds the backward pass as `losses`.
  public func lossSum(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> Double {
    losses(batch, pass, gradientScale: gradientScale).reduce(0, +)
  }
  /// None, for a model that does not tell.
  public func frozenDepth(_ pass: ForwardPass) -> Int { 0 }
  public func frozenStates(source: [Int32], depth: Int, _ pass: ForwardPass) -> Tensor {
    preconditionFailure("\(description.modelType) tells of no frozen stages, \(depth) are asked for")
  }
}

/// A model that gives a score for each label, or values.
public protocol ClassifierModel: LanguageModel {
  /// The losses of `labels` under these logits, by example; seeds the backward pass as `losses(_:_:gradientScale:)` does.
  func losses(logits: Variable, labels: [[Int32]], _ pass: ForwardPass, gradientScale: Float) -> [Double]
}

extension ClassifierModel {
  public func losses(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> [Double] {
    losses(logits: logits(batch, pass), labels: batch.labels, pass, gradientScale: gradientScale)
  }
}

/// A model that writes text.
public protocol GenerativeModel: LanguageModel {
  /// The sources read and the cache ready for `step`.
  ///
  /// - Parameter beamCount: most rows of one source in a step.
  func startDecoding(_ batch: SourceBatch, maxNewTokens: Int, beamCount: Int, _ pass: ForwardPass)
    -> any DecodingState
}

extension GenerativeModel {
  /// The same for single texts.
  public func startDecoding(
    sources: [[Int32]], examples: [UInt32], maxNewTokens: Int, beamCount: Int = 1, _ pass: ForwardPass
  ) -> any DecodingState {
    startDecoding(
      SourceBatch(sources: sources, examples: examples), maxNewTokens: maxNewTokens, beamCount: beamCount, pass)
  }
}

/// A batch being decoded with a key/value cache.
///
/// A row is a sequence of tokens that begins with the prompt of its source. Rows may be dropped, reordered and continued more than
/// once from step to step: the cache stays where it is, and each row knows where its past lies.
public protocol DecodingState: AnyObject {
  /// Feeds one token to each row, in the first step the last one of its prompt, and returns their next logits `[rows, V]`, which the caller may overwrite.
  ///
  /// - Parameter parents: the row of the last step that each row continues; in the first step its source. Ascending by
  ///   source.
  func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor
  /// The sums of the token losses of these labels, by source, with the sources read once for both; before the first step.
  func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double]
  /// The tokens that the sequences of a source begin with, at least one: of an encoder-decoder the start token, of a decoder
  /// the source itself.
  func prompt(ofSource index: Int) -> [Int32]
}

extension Array where Element == Double {
  /// Sums of consecutive entries, `counts` of them each, from the first to the last.
  public func sums(of counts: [Int]) -> [Double] {
    var next = 0
    return counts.map { count in
      defer { next += count }
      return self[next..<next + count].reduce(0, +)
    }
  }
}
