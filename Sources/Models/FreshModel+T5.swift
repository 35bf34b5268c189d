import Checkpoints

extension FreshModel {
  /// Source: HF `modeling_t5.py`, `_init_weights`, with `initializer_factor` 1: embedding and own head have deviation 1; each
  /// projection the inverse root of its input's width, queries that of the head's width too, as scores are not scaled.
  static func t5(_ shape: FreshModelShape) -> FreshModel {
    let headWidth = shape.headWidth ?? shape.hiddenSize / shape.headCount
    let config: [String: JSON] = [
      "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "is_encoder_decoder": true,
      "vocab_size": .integer(shape.vocabularySize), "d_model": .integer(shape.hiddenSize),
      "d_kv": .integer(headWidth), "d_ff": .integer(shape.wideSize), "num_heads": .integer(shape.headCount),
      "num_layers": .integer(shape.layerCount),
      "num_decoder_layers": .integer(shape.decoderLayerCount ?? shape.layerCount),
      "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
      "initializer_factor": 1.0, "dropout_rate": .double(shape.dropoutRate),
      "feed_forward_proj": shape.isGated ? "gated-gelu" : "relu", "tie_word_embeddings": .bool(!shape.isGated),
      "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "use_cache": true,
    ]
    let shapes = T5.weightShapes(
      vocabularySize: shape.vocabularySize, hiddenSize: shape.hiddenSize,
      innerSize: shape.headCount * headWidth, feedForwardSize: shape.wideSize, layerCount: shape.layerCount,
      decoderLayerCount: shape.decoderLayerCount ?? shape.layerCount, bucketCount: 32, headCount: shape.headCount,
      isGated: shape.isGated, hasOwnHead: shape.isGated)
    return FreshModel(
      config: config,
      generation: ["decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0],
      weights: shapes.map { name, weight in
        FreshWeight(name, weight, values(of: name, weight, hiddenSize: shape.hiddenSize, headWidth: headWidth))
      })
  }

  private static func values(of name: String, _ shape: [Int], hiddenSize: Int, headWidth: Int) -> FreshValues {
    func inverseRoot(_ width: Int) -> FreshValues { .normal(deviation: 1 / Double(width).squareRoot()) }
    let parts = name.split(separator: ".").suffix(2)
    switch parts.first ?? "" {
    case "shared", "lm_head": return .normal(deviation: 1)
    case "layer_norm", "final_layer_norm": return .constant(1)
    case "relative_attention_bias": return inverseRoot(hiddenSize)
    case "q": return inverseRoot(hiddenSize * headWidth)
    // [out, in]
    default: return inverseRoot(shape[1])
    }
  }
}
