/// Names and shapes of the weights of a RoBERTa or BERT (HF `modeling_roberta.py`, `modeling_bert.py`). Projections are
/// `[out, in]`.
public enum EncoderWeights {
  /// Embeddings and layers.
  ///
  /// - Parameters:
  ///   - prefix: `roberta` or `bert`.
  ///   - positionCount: rows of the table of positions, those before the first text position included.
  public static func shapes(
    prefix: String, vocabularySize: Int, positionCount: Int, tokenTypeCount: Int, hiddenSize: Int,
    feedForwardSize: Int, layerCount: Int
  ) -> [(name: String, shape: [Int])] {
    let (hidden, wide) = (hiddenSize, feedForwardSize)
    var shapes = [
      ("embeddings.word_embeddings.weight", [vocabularySize, hidden]),
      ("embeddings.position_embeddings.weight", [positionCount, hidden]),
      ("embeddings.token_type_embeddings.weight", [tokenTypeCount, hidden]),
    ]
    func biased(_ path: String, _ weight: [Int]) {
      shapes += [("\(path).weight", weight), ("\(path).bias", Array(weight.prefix(1)))]
    }
    biased("embeddings.LayerNorm", [hidden])
    for layer in 0..<layerCount {
      let path = "encoder.layer.\(layer)"
      for name in ["query", "key", "value"] { biased("\(path).attention.self.\(name)", [hidden, hidden]) }
      biased("\(path).attention.output.dense", [hidden, hidden])
      biased("\(path).attention.output.LayerNorm", [hidden])
      biased("\(path).intermediate.dense", [wide, hidden])
      biased("\(path).output.dense", [hidden, wide])
      biased("\(path).output.LayerNorm", [hidden])
    }
    return shapes.map { (name: "\(prefix).\($0.0)", shape: $0.1) }
  }

  /// RoBERTa's head that names masked tokens; its projection to the vocabulary is the word embedding.
  public static func robertaMaskedHead(vocabularySize: Int, hiddenSize: Int) -> [(name: String, shape: [Int])] {
    maskedHead("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", vocabularySize, hiddenSize)
  }

  /// The same of BERT.
  public static func bertMaskedHead(vocabularySize: Int, hiddenSize: Int) -> [(name: String, shape: [Int])] {
    let path = "cls.predictions"
    return maskedHead(
      "\(path).transform.dense", "\(path).transform.LayerNorm", "\(path).bias", vocabularySize, hiddenSize)
  }

  private static func maskedHead(
    _ dense: String, _ norm: String, _ bias: String, _ vocabularySize: Int, _ hidden: Int
  ) -> [(name: String, shape: [Int])] {
    [
      (bias, [vocabularySize]), ("\(dense).weight", [hidden, hidden]), ("\(dense).bias", [hidden]),
      ("\(norm).weight", [hidden]), ("\(norm).bias", [hidden]),
    ]
  }

  /// RoBERTa's classifier.
  public static func robertaClassifier(labelCount: Int, hiddenSize: Int) -> [(name: String, shape: [Int])] {
    [
      ("classifier.dense.weight", [hiddenSize, hiddenSize]), ("classifier.dense.bias", [hiddenSize]),
      ("classifier.out_proj.weight", [labelCount, hiddenSize]), ("classifier.out_proj.bias", [labelCount]),
    ]
  }

  /// BERT's pooler and classifier.
  public static func bertClassifier(labelCount: Int, hiddenSize: Int) -> [(name: String, shape: [Int])] {
    [
      ("bert.pooler.dense.weight", [hiddenSize, hiddenSize]), ("bert.pooler.dense.bias", [hiddenSize]),
      ("classifier.weight", [labelCount, hiddenSize]), ("classifier.bias", [labelCount]),
    ]
  }
}
