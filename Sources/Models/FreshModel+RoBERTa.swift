import Checkpoints

extension FreshModel {
  /// Source: HF `modeling_roberta.py` and `PreTrainedModel._init_weights`: deviation 0.02, norms 1, biases 0, and the rows of the
  /// padding token and of its position 0. Positions begin behind that of the padding token, so the table has two more.
  static func roberta(_ shape: FreshModelShape) -> FreshModel {
    let pad = 1
    let positions = (shape.positionCount ?? 512) + pad + 1
    var config = encoderConfig(shape, positionCount: positions, tokenTypeCount: 1, normEpsilon: 1e-5)
    config["model_type"] = "roberta"
    config["architectures"] = [
      shape.labelCount == nil ? "RobertaForMaskedLM" : "RobertaForSequenceClassification"
    ]
    config.merge(["bos_token_id": 0, "pad_token_id": .integer(pad), "eos_token_id": 2]) { $1 }
    let head =
      shape.labelCount.map { EncoderWeights.robertaClassifier(labelCount: $0, hiddenSize: shape.hiddenSize) }
      ?? EncoderWeights.robertaMaskedHead(vocabularySize: shape.vocabularySize, hiddenSize: shape.hiddenSize)
    let shapes = EncoderWeights.shapes(
      prefix: "roberta", vocabularySize: shape.vocabularySize, positionCount: positions, tokenTypeCount: 1,
      hiddenSize: shape.hiddenSize, feedForwardSize: shape.wideSize, layerCount: shape.layerCount)
    return FreshModel(
      config: config, generation: nil,
      weights: encoderWeights(
        shapes + head, zeroRows: ["word_embeddings.weight": pad, "position_embeddings.weight": pad]))
  }

  /// The same for BERT, which has two token types and no row of positions for padding.
  static func bert(_ shape: FreshModelShape) -> FreshModel {
    let positions = shape.positionCount ?? 512
    var config = encoderConfig(shape, positionCount: positions, tokenTypeCount: 2, normEpsilon: 1e-12)
    config["model_type"] = "bert"
    config["architectures"] = [shape.labelCount == nil ? "BertForMaskedLM" : "BertForSequenceClassification"]
    config["pad_token_id"] = 0
    let head =
      shape.labelCount.map { EncoderWeights.bertClassifier(labelCount: $0, hiddenSize: shape.hiddenSize) }
      ?? EncoderWeights.bertMaskedHead(vocabularySize: shape.vocabularySize, hiddenSize: shape.hiddenSize)
    let shapes = EncoderWeights.shapes(
      prefix: "bert", vocabularySize: shape.vocabularySize, positionCount: positions, tokenTypeCount: 2,
      hiddenSize: shape.hiddenSize, feedForwardSize: shape.wideSize, layerCount: shape.layerCount)
    return FreshModel(
      config: config, generation: nil, weights: encoderWeights(shapes + head, zeroRows: ["word_embeddings.weight": 0]))
  }

  private static func encoderConfig(
    _ shape: FreshModelShape, positionCount: Int, tokenTypeCount: Int, normEpsilon: Double
  ) -> [String: JSON] {
    let rate = JSON.double(shape.dropoutRate)
    var config: [String: JSON] = [
      "vocab_size": .integer(shape.vocabularySize), "hidden_size": .integer(shape.hiddenSize),
      "num_hidden_layers": .integer(shape.layerCount), "num_attention_heads": .integer(shape.headCount),
      "intermediate_size": .integer(shape.wideSize), "hidden_act": "gelu", "hidden_dropout_prob": rate,
      "attention_probs_dropout_prob": rate, "max_position_embeddings": .integer(positionCount),
      "type_vocab_size": .integer(tokenTypeCount), "layer_norm_eps": .double(normEpsilon), "initializer_range": 0.02,
      "tie_word_embeddings": true, "use_cache": true,
    ]
    if let count = shape.labelCount {
      config["id2label"] = .object(
        Dictionary(uniqueKeysWithValues: (0..<count).map { ("\($0)", .string("LABEL_\($0)")) }))
      config["label2id"] = .object(
        Dictionary(uniqueKeysWithValues: (0..<count).map { ("LABEL_\($0)", .integer($0)) }))
    }
    return config
  }

  /// - Parameter zeroRows: row of the padding token by the end of a name.
  private static func encoderWeights(_ shapes: [(name: String, shape: [Int])], zeroRows: [String: Int])
    -> [FreshWeight]
  {
    shapes.map { name, shape in
      if name.hasSuffix("bias") { return FreshWeight(name, shape, .constant(0)) }
      if shape.count == 1 { return FreshWeight(name, shape, .constant(1)) }
      let zeroRow = zeroRows.first { name.hasSuffix($0.key) }?.value
      return FreshWeight(name, shape, .normal(deviation: 0.02, zeroRow: zeroRow))
    }
  }
}
