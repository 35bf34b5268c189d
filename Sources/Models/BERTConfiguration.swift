import CKernels
import Checkpoints
import Foundation
import NN

/// `config.json` of a BERT or RoBERTa checkpoint (HF `configuration_bert.py`, `configuration_roberta.py`).
public struct BERTConfiguration: Sendable {
  /// The two forms of the architecture.
  public enum Family: String, Sendable {
    case bert
    case roberta
  }

  public let family: Family
  public let vocabularySize: Int
  public let hiddenSize: Int
  public let layerCount: Int
  public let headCount: Int
  public let feedForwardSize: Int
  public let positionCount: Int
  public let typeCount: Int
  public let normEpsilon: Float
  /// `hidden_dropout_prob`, `attention_probs_dropout_prob`, and of a head `classifier_dropout`.
  public let dropoutRates: DropoutRates
  public let activation: activation_kind
  /// Deviation of fresh weights.
  public let initializerRange: Double
  public let padID: Int32
  /// Label names by number.
  public let labels: [String]
  public let problem: ClassifierHead.Problem

  /// - Parameter request: what the task wants of the head, where the checkpoint leaves it open.
  /// - Throws: `CheckpointError` naming file and key.
  public init(_ config: JSONObject, family: Family, request: HeadRequest) throws {
    self.family = family
    vocabularySize = try config.dimension("vocab_size")
    hiddenSize = try config.dimension("hidden_size")
    layerCount = try config.int("num_hidden_layers", in: 1...1024)
    headCount = try config.dimension("num_attention_heads")
    guard hiddenSize.isMultiple(of: headCount) else {
      throw config.error("num_attention_heads", expected: "a divisor of hidden_size \(hiddenSize)")
    }
    feedForwardSize = try config.dimension("intermediate_size")
    positionCount = try config.dimension("max_position_embeddings")
    typeCount = try config["type_vocab_size"].map { _ in try config.dimension("type_vocab_size") } ?? 2
    normEpsilon = try config.epsilon("layer_norm_eps", default: 1e-12)
    let hidden = Float(try config.rate("hidden_dropout_prob", default: 0.1))
    dropoutRates = DropoutRates(
      hidden: hidden, embedding: hidden,
      attention: Float(try config.rate("attention_probs_dropout_prob", default: 0.1)),
      head: try config["classifier_dropout"].map { _ in Float(try config.rate("classifier_dropout", default: 0)) }
        ?? hidden)
    activation = try config.activation("hidden_act", default: "gelu")
    initializerRange = try config.optionalDouble("initializer_range") ?? 0.02
    guard initializerRange >= 0, initializerRange <= 1e6 else {
      throw config.error("initializer_range", expected: "a number from 0 to 1000000")
    }
    guard try config.optionalString("position_embedding_type") ?? "absolute" == "absolute" else {
      throw config.error("position_embedding_type", expected: "absolute")
    }
    guard try config.optionalBool("is_decoder") != true else { throw config.error("is_decoder", expected: "false") }
    padID = try config.tokens(
      "pad_token_id", generation: nil, default: family == .roberta ? 1 : 0, vocabularySize)[0]
    let own = try Self.labels(config)
    let found = request.labels ?? own ?? (0..<2).map { "LABEL_\($0)" }
    labels = found
    let name = try config.optionalString("problem_type")
    if let name, request.problem == nil {
      guard let known = ClassifierHead.Problem(rawValue: name) else {
        throw config.error(
          "problem_type", expected: "regression, single_label_classification or multi_label_classification")
      }
      problem = known
    } else {
      problem = request.problem ?? (found.count == 1 ? .regression : .singleLabel)
    }
  }

  /// `id2label`, or as many names as `num_labels` says; nil if the file has neither.
  public static func labels(_ config: JSONObject) throws -> [String]? {
    if let names = try config.optionalObject("id2label") {
      return try (0..<names.members.count).map { try names.string("\($0)") }
    }
    return try config["num_labels"].map { _ in
      (0..<(try config.int("num_labels", in: 1...1 << 16))).map { "LABEL_\($0)" }
    }
  }

  public var headWidth: Int { hiddenSize / headCount }
  /// Position of the first token: RoBERTa counts from behind its padding.
  public var firstPosition: Int { family == .roberta ? Int(padID) + 1 : 0 }
}
