import Autograd
import Checkpoints
import NN
import TensorCore

/// Several methods on one model at once, such as a prompt and LoRA, each with its own learning rate.
///
/// Each seam is answered by the part that it is about; two parts that would answer the same one are refused. Every part is
/// written as an adapter of its own, `adapter/NAME/`, which HF PEFT loads like any other: first LoRA and its like, merged,
/// then the prompt.
public final class CombinedMethod: PEFTMethod {
  public let parts: [any PEFTMethod]
  public let name: String
  public let learningRateFactors: [Double]
  /// Sites of each part, as a range within all sites.
  private let siteRanges: [Range<Int>]

  /// - Parameter rateFactors: learning rate of each part divided by that of the run.
  public init(_ parts: [any PEFTMethod], _ model: any LanguageModel, rateFactors: [Double]) throws {
    precondition(parts.count == rateFactors.count, "\(parts.count) methods, \(rateFactors.count) rates")
    self.parts = parts
    name = parts.map(\.name).joined(separator: "+")
    learningRateFactors = zip(parts, rateFactors).flatMap { part, factor in
      part.learningRateFactors.map { $0 * factor }
    }
    var ranges: [Range<Int>] = []
    var seams: [any Seams] = []
    for part in parts {
      let sites = part.siteValues
      let first = ranges.last?.upperBound ?? 0
      ranges.append(first..<first + sites.count)
      seams.append(part.seams(sites.map { Variable(constant: $0) }))
    }
    siteRanges = ranges
    try Self.requireDistinct(parts, seams, model)
  }

  /// Throws: `MethodError.badOption` for two parts that answer the same seam or train the same tensor.
  private static func requireDistinct(
    _ parts: [any PEFTMethod], _ seams: [any Seams], _ model: any LanguageModel
  ) throws {
    func check(_ place: String, _ answers: (Int) -> Bool) throws {
      let answering = parts.indices.filter(answers)
      guard answering.count < 2 else {
        throw MethodError.badOption(
          option: "--method", value: parts.map(\.name).joined(separator: "+"),
          expected: "methods for different places; \(answering.map { parts[$0].name }.joined(separator: " and ")) "
            + "both change \(place)")
      }
    }
    for linear in model.description.linears { try check(linear.path) { seams[$0].adapts(linear) } }
    for sublayer in model.description.sublayers {
      try check(sublayer.path) { seams[$0].adapts(sublayer: sublayer.path) }
    }
    for parameter in model.parameters {
      try check(parameter.name) { part in parts[part].substitutions.contains { $0.base === parameter } }
    }
    try check("the input embeddings") { parts[$0].virtualTokenCount > 0 }
    let pass = ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false))
    for kind in [AttentionKind.encoderSelf, .decoderSelf, .cross] {
      try check("the keys and values of an attention") { seams[$0].keyValuePrefix(layer: 0, kind, pass) != nil }
    }
    for name in Set(parts.map(\.name)) { try check("what '\(name)' changes") { parts[$0].name == name } }
  }

  // MARK: The method

  public var parameters: [Parameter] { parts.flatMap(\.parameters) }

  public var trainedParts: String? {
    let texts = parts.compactMap { part in part.trainedParts.map { "\(part.name): \($0)" } }
    return texts.isEmpty ? nil : texts.joined(separator: "; ")
  }

  public var virtualTokenCount: Int { parts.reduce(0) { $0 + $1.virtualTokenCount } }
  public var occupiedPositionCount: Int { parts.reduce(0) { $0 + $1.occupiedPositionCount } }

  public var substitutions: [(base: Parameter, site: Int)] {
    zip(parts, siteRanges).flatMap { part, range in
      part.substitutions.map { ($0.base, range.lowerBound + $0.site) }
    }
  }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    var rest = parameters[...]
    return parts.flatMap { part in
      let own = Array(rest.prefix(part.parameters.count))
      rest = rest.dropFirst(own.count)
      return part.materialise(own, tape)
    }
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    CombinedSeams(parts: zip(parts, siteRanges).map { $0.seams(Array(sites[$1])) })
  }

  private struct CombinedSeams: Seams {
    let parts: [any Seams]

    func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable? {
      parts.first { $0.adapts(layer) }?.linear(layer, x, layout, pass)
    }

    func adapts(_ layer: Linear) -> Bool { parts.contains { $0.adapts(layer) } }

    func inputEmbeddings(
      _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
    ) -> (Variable, PackedLayout)? {
      for part in parts {
        if let answer = part.inputEmbeddings(stack, embedded, layout, pass) { return answer }
      }
      return nil
    }

    func keyValuePrefix(
      layer: Int, _ kind: AttentionKind, _ pass: ForwardPass
    ) -> (keys: Variable, values: Variable)? {
      for part in parts {
        if let prefix = part.keyValuePrefix(layer: layer, kind, pass) { return prefix }
      }
      return nil
    }

    func adapts(sublayer path: String) -> Bool { parts.contains { $0.adapts(sublayer: path) } }

    func sublayerOutput(
      path: String, _ output: Variable, residual: Variable, norm: ((Variable) -> Variable)?, _ pass: ForwardPass
    ) -> Variable? {
      parts.first { $0.adapts(sublayer: path) }?
        .sublayerOutput(path: path, output, residual: residual, norm: norm, pass)
    }
  }

  // MARK: Files

  public func adapterFiles(baseModelName: String) throws -> AdapterFiles {
    AdapterFiles(parts: try parts.map { ($0.name, try $0.adapterFiles(baseModelName: baseModelName)) })
  }
}
