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
  /// What the labels of a loss are shifted behind: that of `config.json`.
  public let startID: Int32
  /// What answers begin with: that of `generation_config.json`, if it has one.
  public let generationStartID: Int32

  /// - Throws: `CheckpointError` naming file and key.
  public init(_ file: JSONObject, generation: JSONObject?) throws {
    let config = file.reading([
      "hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers",
      "head_dim": "d_kv",
    ])
    vocabularySize = try config.dimension("vocab_size")
    hiddenSize = try config.dimension("d_model")
    headWidth = try config.dimension("d_kv", default: 64)
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
    normEpsilon = try config.epsilon("layer_norm_epsilon", default: 1e-6)
    dropoutRate = Float(try config.rate("dropout_rate", default: 0.1))

    let isMT5 = try config.optionalString("model_type") == "mt5"
    (activation, isGated) = try Self.feedForward(config, default: isMT5 ? "gated-gelu" : "relu")
    let tied = try config.optionalBool("tie_word_embeddings") ?? true
    let scales = try config.optionalBool("scale_decoder_outputs")
    // mT5 never scales, whatever its configuration says of its embeddings (HF `modeling_mt5.py`).
    scalesOutputs = isMT5 ? false : scales ?? tied

    padID = try config.tokens("pad_token_id", generation: nil, default: 0, vocabularySize)[0]
    // HF refuses to shift labels where the file has none.
    guard isMT5 || config["decoder_start_token_id"] != nil else {
      throw config.error(
        "decoder_start_token_id", expected: "the token that the decoder begins with, which is mostly pad_token_id")
    }
    startID = try config.tokens("decoder_start_token_id", generation: nil, default: 0, vocabularySize)[0]
    generationStartID =
      try config.tokens("decoder_start_token_id", generation: generation, default: startID, vocabularySize)[0]
    eosIDs = try config.tokens("eos_token_id", generation: generation, default: 1, vocabularySize)
  }

  /// The activation, and whether it is gated. `dense_act_fn` and `is_gated_act` come before `feed_forward_proj`.
  private static func feedForward(
    _ config: JSONObject, default missing: String
  ) throws -> (activation: activation_kind, isGated: Bool) {
    let projection = try config.optionalString("feed_forward_proj") ?? missing
    let parts = projection.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 1 || (parts.count == 2 && parts[0] == "gated") else {
      throw config.error("feed_forward_proj", expected: "an activation, or gated- and an activation")
    }
    let isGated = try config.optionalBool("is_gated_act") ?? (parts.count == 2)
    if config["dense_act_fn"] != nil { return (try config.activation("dense_act_fn", default: ""), isGated) }
    guard let activation = JSONObject.activations[projection == "gated-gelu" ? "gelu_new" : parts[parts.count - 1]]
    else {
      throw config.error(
        "feed_forward_proj", expected: "\(JSONObject.activationNames), plain or with gated- in front")
    }
    return (activation, isGated)
  }

  /// `heads * head width`: the width of queries, keys and values.
  public var innerSize: Int { headCount * headWidth }
}
