import NN
import Tasks

/// The arithmetic that cannot be done without: products of real and virtual tokens with weights, and attention.
struct UsefulWork {
  let floatingPointOperations: Double

  /// A training step.
  init(training members: [EncodedExample], _ model: ModelDescription, _ method: any PEFTMethod) {
    let targets = members.map { Double($0.target.count) }
    // A decoder reads source and target as one sequence.
    let sources = zip(members, targets).map { member, target in
      Double(member.source.count + method.virtualTokenCount) + (model.kind == .decoder ? target - 1 : 0)
    }
    let (source, target) = (sources.reduce(0, +), targets.reduce(0, +))
    var products = 0.0
    let latePaths = Set(model.outputHeadPaths + model.lateLinearPaths)
    for linear in model.linears {
      let isLate = latePaths.contains(linear.path)
      products += 2 * Double(linear.weight.count) * (Self.readsSource(linear, model) && !isLate ? source : target)
    }
    // Scores and context: two products of [queries, keys] by the width of a layer's heads.
    let width = Double(model.headCount * model.headWidth)
    let pairs = sources.reduce(0) { $0 + $1 * $1 }
    let attention: Double
    switch model.kind {
    case .encoderDecoder:
      let decoderPairs = zip(sources, targets).reduce(0) { $0 + $1.1 * $1.1 / 2 + $1.1 * $1.0 }
      attention = 4 * width * (Double(model.layerCount) * pairs + Double(model.decoderLayerCount) * decoderPairs)
    case .decoder: attention = 4 * width * Double(model.layerCount) * pairs / 2
    case .classifier, .maskedTokens: attention = 4 * width * Double(model.layerCount) * pairs
    }
    // Backward: inputs' gradients cost each product once more, a trained weight's gradient once again.
    let isFull = method.name == "full"
    floatingPointOperations = products * (isFull ? 3 : 2) + attention * 3
  }

  /// Whether a projection is applied to every token of the source.
  private static func readsSource(_ linear: Linear, _ model: ModelDescription) -> Bool {
    model.kind != .encoderDecoder || linear.path.hasPrefix("encoder.")
      || linear.path.hasSuffix("EncDecAttention.k") || linear.path.hasSuffix("EncDecAttention.v")
  }

  /// Decoding `tokens` positions of `beams` hypotheses for each source: all look at their own past and at the source.
  init(decoding sources: [Int], tokens: Int, beams: Int, _ model: ModelDescription) {
    let sourceTokens = Double(sources.reduce(0, +))
    let rows = Double(sources.count * beams * tokens)
    var products = 0.0
    for linear in model.linears {
      let isHead = model.outputHeadPaths.contains(linear.path)
      // A decoder's projections read the source once and every generated token.
      let read =
        !Self.readsSource(linear, model) || isHead
        ? rows : sourceTokens + (model.kind == .decoder ? rows : 0)
      products += 2 * Double(linear.weight.count) * read
    }
    let width = Double(model.headCount * model.headWidth)
    let sourcePairs = sources.reduce(0.0) { $0 + Double($1 * $1) } / (model.kind == .decoder ? 2 : 1)
    let decoderPairs = rows * Double(tokens) / 2 + Double(beams * tokens) * sourceTokens
    floatingPointOperations =
      products + 4 * width
      * (Double(model.layerCount) * sourcePairs + Double(model.decoderLayerCount) * decoderPairs)
  }
}
