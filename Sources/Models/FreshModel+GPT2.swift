import Checkpoints

extension FreshModel {
  /// Source: HF `modeling_gpt2.py`, `_init_weights`: deviation 0.02, and of the projections into the residual stream, of which there
  /// are two a layer, 0.02 ÷ √(2 · layers) (Radford et al. 2019, §2.3).
  static func gpt2(_ shape: FreshModelShape) -> FreshModel {
    let deviation = 0.02
    let positions = shape.positionCount ?? 1024
    let end = JSON.integer(shape.endOfTextID ?? shape.vocabularySize - 1)
    let rate = JSON.double(shape.dropoutRate)
    let config: [String: JSON] = [
      "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": .integer(shape.vocabularySize),
      "n_positions": .integer(positions), "n_embd": .integer(shape.hiddenSize), "n_layer": .integer(shape.layerCount),
      "n_head": .integer(shape.headCount), "n_inner": shape.feedForwardSize.map { .integer($0) } ?? .null,
      "activation_function": "gelu_new", "attn_pdrop": rate, "embd_pdrop": rate, "resid_pdrop": rate,
      "layer_norm_epsilon": 1e-5, "initializer_range": .double(deviation), "bos_token_id": end,
      "eos_token_id": end, "tie_word_embeddings": true, "use_cache": true,
    ]
    let shapes = GPT2Weights.shapes(
      vocabularySize: shape.vocabularySize, positionCount: positions, hiddenSize: shape.hiddenSize,
      feedForwardSize: shape.wideSize, layerCount: shape.layerCount)
    let scaled = deviation / (2 * Double(shape.layerCount)).squareRoot()
    return FreshModel(
      config: config, generation: ["bos_token_id": end, "eos_token_id": end],
      weights: shapes.map { name, weight in
        let values: FreshValues =
          if name.hasSuffix(".bias") {
            .constant(0)
          } else if weight.count == 1 {
            .constant(1)
          } else {
            .normal(deviation: name.hasSuffix(".c_proj.weight") ? scaled : deviation)
          }
        return FreshWeight(name, weight, values)
      })
  }
}
