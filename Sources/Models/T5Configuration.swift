import CKernels
import Checkpoints
import Foundation
import NN

/// `config.json` of a T5 checkpoint, 1.0 and 1.1/Flan (HF `configuration_t5.py`).
public struct T5Configuration: Sendable {
  public let vocabularySize: Int
  public let hiddenSize: Int
  /// Width of one head; `headCount * headWidth` may differ from `hiddenSize`.
  public let headWidth: Int
  public let headCount: Int
  public let feedForwardSize: Int
  public let layerCount: Int
  public let decoderLayerCount: Int
  public let bucketCount: Int
  public let maxDistance: Int
  public let normEpsilon: Float
  public let dropoutRate: Float
  public let activation: activation_kind
  public let isGated: Bool
  /// Logits are computed from `hiddenSize^-0.5 * h` (T5 1.0).
  public let scalesOutputs: Bool
  public let padID: Int32
  public let eosIDs: [Int32]
  public let startID: Int32

  /// - Throws: `CheckpointError` naming file and key.
  public init(_ config: JSONObject, generation: JSONObject?) throws {
    vocabularySize = try config.dimension("vocab_size")
    hiddenSize = try config.dimension("d_model")
    headWidth = try config.dimension("d_kv")
    headCount = try config.dimension("num_heads")
    feedForwardSize = try config.dimension("d_ff")
    layerCount = try config.int("num_layers", in: 1...1024)
    decoderLayerCount =
      config["num_decoder_layers"] == nil ? layerCount : try config.int("num_decoder_layers", in: 1...1024)
    bucketCount = try config.optionalInt("relative_attention_num_buckets") ?? 32
    maxDistance = try config.optionalInt("relative_attention_max_distance") ?? 128
    guard bucketCount >= 4, bucketCount % 4 == 0, maxDistance > bucketCount / 2 else {
      throw config.error(
        "relative_attention_num_buckets", expected: "a multiple of 4 below twice the maximum distance \(maxDistance)")
    }
    normEpsilon = Float(try config.optionalDouble("layer_norm_epsilon") ?? 1e-6)
    dropoutRate = Float(try config.rate("dropout_rate", default: 0.1))

    let projection = try config.optionalString("feed_forward_proj") ?? "relu"
    isGated = projection.hasPrefix("gated-")
    let name = isGated ? String(projection.dropFirst(6)) : projection
    switch projection == "gated-gelu" ? "gelu_new" : name {
    case "relu": activation = ACTIVATION_RELU
    case "gelu_new": activation = ACTIVATION_GELU_NEW
    case "gelu": activation = ACTIVATION_GELU
    case "silu", "swish": activation = ACTIVATION_SILU
    default:
      throw config.error("feed_forward_proj", expected: "relu, gelu, gelu_new or silu, plain or gated")
    }
    let tied = try config.optionalBool("tie_word_embeddings") ?? true
    scalesOutputs = try config.optionalBool("scale_decoder_outputs") ?? tied

    func tokens(_ key: String, default missing: Int32) throws -> [Int32] {
      try config.tokens(key, generation: generation, default: missing, config.dimension("vocab_size"))
    }
    padID = try tokens("pad_token_id", default: 0)[0]
    startID = try tokens("decoder_start_token_id", default: padID)[0]
    eosIDs = try tokens("eos_token_id", default: 1)
  }

  /// `heads * head width`: the width of queries, keys and values.
  public var innerSize: Int { headCount * headWidth }
}
