import NN
import Tasks

/// The arithmetic that cannot be done without: products of real and virtual tokens with weights, and attention.
struct UsefulWork {
  let floatingPointOperations: Double

  /// A training step.
  init(training members: [EncodedExample], _ model: ModelDescription, _ method: any PEFTMethod) {
    let sources = members.map { Double($0.source.count + method.virtualTokenCount) }
    let targets = members.map { Double($0.target.count) }
    let (source, target) = (sources.reduce(0, +), targets.reduce(0, +))
    var products = 0.0
    for linear in model.linears {
      let readsSource =
        linear.path.hasPrefix("encoder.") || linear.path.hasSuffix("EncDecAttention.k")
        || linear.path.hasSuffix("EncDecAttention.v")
      products += 2 * Double(linear.weight.count) * (readsSource ? source : target)
    }
    // Scores and context: two products of [queries, keys] by the width of a layer's heads.
    let width = Double(model.linears.first?.outputSize ?? 0)
    let encoderPairs = sources.reduce(0) { $0 + $1 * $1 }
    let decoderPairs = zip(sources, targets).reduce(0) { $0 + $1.1 * $1.1 / 2 + $1.1 * $1.0 }
    let attention =
      4 * width * (Double(model.layerCount) * encoderPairs + Double(model.decoderLayerCount) * decoderPairs)
    // Backward: inputs' gradients cost each product once more, a trained weight's gradient once again.
    let isFull = method.name == "full"
    floatingPointOperations = products * (isFull ? 3 : 2) + attention * 3
  }

  /// Decoding `tokens` positions of `beams` hypotheses for each source: all look at their own past and at the source.
  init(decoding sources: [Int], tokens: Int, beams: Int, _ model: ModelDescription) {
    let sourceTokens = Double(sources.reduce(0, +))
    let rows = Double(sources.count * beams * tokens)
    var products = 0.0
    for linear in model.linears {
      let readsSource =
        linear.path.hasPrefix("encoder.") || linear.path.hasSuffix("EncDecAttention.k")
        || linear.path.hasSuffix("EncDecAttention.v")
      products += 2 * Double(linear.weight.count) * (readsSource ? sourceTokens : rows)
    }
    let width = Double(model.linears.first?.outputSize ?? 0)
    let encoderPairs = sources.reduce(0.0) { $0 + Double($1 * $1) }
    let decoderPairs = rows * Double(tokens) / 2 + Double(beams * tokens) * sourceTokens
    floatingPointOperations =
      products + 4 * width * (Double(model.layerCount) * encoderPairs + Double(model.decoderLayerCount) * decoderPairs)
  }
}
