import NN

extension T5 {
  /// Name and shape of every weight of a T5 with this configuration, its own head included if it is not tied.
  public static func weightShapes(_ config: T5Configuration, hasOwnHead: Bool) -> [(name: String, shape: [Int])] {
    weightShapes(
      vocabularySize: config.vocabularySize, hiddenSize: config.hiddenSize, innerSize: config.innerSize,
      feedForwardSize: config.feedForwardSize, layerCount: config.layerCount,
      decoderLayerCount: config.decoderLayerCount, bucketCount: config.bucketCount, headCount: config.headCount,
      isGated: config.isGated, hasOwnHead: hasOwnHead)
  }

  static func weightShapes(
    vocabularySize: Int, hiddenSize hidden: Int, innerSize inner: Int, feedForwardSize wide: Int, layerCount: Int,
    decoderLayerCount: Int, bucketCount: Int, headCount: Int, isGated: Bool, hasOwnHead: Bool
  ) -> [(name: String, shape: [Int])] {
    var shapes: [(name: String, shape: [Int])] = [("shared.weight", [vocabularySize, hidden])]
    func attention(_ path: String, _ name: String) {
      for projection in ["q", "k", "v"] { shapes.append(("\(path).\(name).\(projection).weight", [inner, hidden])) }
      shapes.append(("\(path).\(name).o.weight", [hidden, inner]))
      shapes.append(("\(path).layer_norm.weight", [hidden]))
    }
    for (stack, count) in [("encoder", layerCount), ("decoder", decoderLayerCount)] {
      shapes.append(
        ("\(stack).block.0.layer.0.SelfAttention.relative_attention_bias.weight", [bucketCount, headCount]))
      for index in 0..<count {
        let block = "\(stack).block.\(index)"
        attention("\(block).layer.0", "SelfAttention")
        if stack == "decoder" { attention("\(block).layer.1", "EncDecAttention") }
        let path = "\(block).layer.\(stack == "decoder" ? 2 : 1)"
        for name in isGated ? ["wi_0", "wi_1"] : ["wi"] {
          shapes.append(("\(path).DenseReluDense.\(name).weight", [wide, hidden]))
        }
        shapes.append(("\(path).DenseReluDense.wo.weight", [hidden, wide]))
        shapes.append(("\(path).layer_norm.weight", [hidden]))
      }
      shapes.append(("\(stack).final_layer_norm.weight", [hidden]))
    }
    return shapes + (hasOwnHead ? [("lm_head.weight", [vocabularySize, hidden])] : [])
  }
}
