import CKernels
import Checkpoints
import NN

/// `config.json` of a GPT-2 checkpoint (HF `configuration_gpt2.py`).
public struct GPT2Configuration: Sendable {
  public let vocabularySize: Int
  public let positionCount: Int
  public let hiddenSize: Int
  public let layerCount: Int
  public let headCount: Int
  public let feedForwardSize: Int
  public let normEpsilon: Float
  /// `resid_pdrop`, `embd_pdrop` and `attn_pdrop`.
  public let dropoutRates: DropoutRates
  public let activation: activation_kind
  /// Whether scores are divided by √K.
  public let scalesScores: Bool
  /// Whether the scores of layer l are divided by l + 1 besides.
  public let scalesByLayer: Bool
  /// Whether the embedding is the output head too, unless the checkpoint has another one.
  public let isTied: Bool
  public let padID: Int32
  public let eosIDs: [Int32]

  /// - Throws: `CheckpointError` naming file and key.
  public init(_ file: JSONObject, generation: JSONObject?) throws {
    let config = file.reading([
      "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head",
      "num_hidden_layers": "n_layer",
    ])
    vocabularySize = try config.dimension("vocab_size")
    positionCount = try config.dimension("n_positions")
    hiddenSize = try config.dimension("n_embd")
    layerCount = try config.int("n_layer", in: 1...1024)
    headCount = try config.dimension("n_head")
    guard hiddenSize.isMultiple(of: headCount) else {
      throw config.error("n_head", expected: "a divisor of n_embd \(hiddenSize)")
    }
    feedForwardSize = config["n_inner"] == nil ? 4 * hiddenSize : try config.dimension("n_inner")
    normEpsilon = try config.epsilon("layer_norm_epsilon", default: 1e-5)
    dropoutRates = DropoutRates(
      hidden: Float(try config.rate("resid_pdrop", default: 0.1)),
      embedding: Float(try config.rate("embd_pdrop", default: 0.1)),
      attention: Float(try config.rate("attn_pdrop", default: 0.1)))
    activation = try config.activation("activation_function", default: "gelu_new")
    scalesScores = try config.optionalBool("scale_attn_weights") ?? true
    scalesByLayer = try config.optionalBool("scale_attn_by_inverse_layer_idx") ?? false
    isTied = try config.optionalBool("tie_word_embeddings") ?? true
    eosIDs = try config.tokens(
      "eos_token_id", generation: generation, default: Int32(clamping: vocabularySize - 1), vocabularySize)
    padID = try config.tokens("pad_token_id", generation: generation, default: eosIDs[0], vocabularySize)[0]
    guard try config.optionalBool("add_cross_attention") != true else {
      throw config.error("add_cross_attention", expected: "false: a decoder alone")
    }
  }

  public var headWidth: Int { hiddenSize / headCount }

  /// Factor on the scores of a layer.
  func scoreScale(layer: Int) -> Float {
    (scalesScores ? Float(1 / Double(headWidth).squareRoot()) : 1) / (scalesByLayer ? Float(layer + 1) : 1)
  }
}
