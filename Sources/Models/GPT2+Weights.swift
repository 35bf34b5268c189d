/// Names and shapes of the weights of a GPT-2 (HF `modeling_gpt2.py`). Projections are `[in, out]`.
public enum GPT2Weights {
  /// - Parameter positionCount: tokens of the longest text.
  public static func shapes(
    vocabularySize: Int, positionCount: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int
  ) -> [(name: String, shape: [Int])] {
    let (hidden, wide) = (hiddenSize, feedForwardSize)
    var shapes = [("wte.weight", [vocabularySize, hidden]), ("wpe.weight", [positionCount, hidden])]
    func biased(_ path: String, _ weight: [Int]) {
      shapes += [("\(path).weight", weight), ("\(path).bias", weight.suffix(1))]
    }
    for layer in 0..<layerCount {
      biased("h.\(layer).ln_1", [hidden])
      biased("h.\(layer).attn.c_attn", [hidden, 3 * hidden])
      biased("h.\(layer).attn.c_proj", [hidden, hidden])
      biased("h.\(layer).ln_2", [hidden])
      biased("h.\(layer).mlp.c_fc", [hidden, wide])
      biased("h.\(layer).mlp.c_proj", [wide, hidden])
    }
    biased("ln_f", [hidden])
    return shapes.map { (name: "transformer.\($0.0)", shape: $0.1) }
  }
}
