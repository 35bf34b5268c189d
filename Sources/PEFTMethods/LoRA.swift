import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore

// LoRA (Hu et al. 2021, "LoRA: low-rank adaptation of large language models", eq. 3): beside a frozen projection W,
// h = W x + (α / r) B A x with A [R, in] random and B [out, R] zero at the start. rsLoRA (Kalajdzievski 2023) scales by
// α / √r. DoRA (Liu et al. 2024, eq. 5) splits W + (α/r) B A into directions and trained magnitudes m, one for each output:
// h = m / n ⊙ (W + (α/r) B A) x with the norms n of the rows, held constant in the backward pass (§4.3). LoRA+ (Hayou et al.
// 2024) trains B at a higher rate than A. Options, names and file format as HF PEFT `tuners/lora`.

public final class LoRA: MergeableMethod {
  public let name = "lora"
  public let parameters: [Parameter]
  public let substitutions: [(base: Parameter, site: Int)]
  let configuration: LoRAConfiguration
  private let model: ModelDescription
  let terms: [String: Term]
  /// Output heads trained as copies of their own: site of the weight by path.
  let savedHeads: [String: Int]

  struct Term: Sendable {
    let linear: Linear
    /// Index of A among the sites; B follows it, and DoRA's magnitudes.
    let a: Int
    let scaling: Float
    /// What PiSSA took out of the base: the initial A and B.
    let initial: LowRankFactors?
  }

  static let prefix = "base_model.model."

  /// - Parameters:
  ///   - trainsHeadBiases: whether the biases of a classifier's head count among all biases.
  ///   - values: tensor for a name and shape; the initial one if nil.
  public init(
    _ configuration: LoRAConfiguration, _ model: any LanguageModel, trainsHeadBiases: Bool = true,
    values: (_ name: String, _ shape: [Int]) -> Tensor?, seed: UInt64
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    let description = model.description
    self.model = description
    let saved: (String) -> Bool = { module in
      let components = module.split(separator: ".")
      return components.indices.contains { end in
        let ancestor = components[...end].joined(separator: ".")
        return configuration.modulesToSave.contains { ancestor.hasSuffix($0) }
      }
    }
    let excluded = try configuration.excludedModules?.matcher(description, option: "exclude_modules")
    let targets = try configuration.targetModules.linears(
      of: model, option: "--target-modules", excluding: { try saved($0) || excluded?($0) == true }
    ).filter { try configuration.selectsLayer($0.path) }
    guard !targets.isEmpty else {
      throw MethodError.nothingMatches(
        option: "--layers-to-transform", value: "\(configuration.layers ?? [])", known: description.layersPattern)
    }
    let starts = try Self.pissaStarts(configuration, targets, values)
    var parameters: [Parameter] = []
    var substitutions: [(base: Parameter, site: Int)] = []
    var terms: [String: Term] = [:]
    for linear in targets {
      let (rank, scaling) = try configuration.factors(path: linear.path)
      let names = ["A", "B"].map { "\(Self.prefix)\(linear.path).lora_\($0).weight" }
      let (aShape, bShape) = ([rank, linear.inputSize], [linear.outputSize, rank])
      let generator = CounterGenerator(seed: seed, purpose: .initialization, site: UInt32(terms.count))
      let given = values(names[0], aShape).flatMap { a in values(names[1], bShape).map { LowRankFactors(a: a, b: $0) } }
      let initial = starts[linear.path]
      let factors =
        try given ?? initial?.copy()
        ?? configuration.initialization.factors(linear, rank: rank, generator)
      terms[linear.path] = Term(linear: linear, a: parameters.count, scaling: scaling, initial: initial)
      parameters += [Parameter(names[0], factors.a), Parameter(names[1], factors.b)]
      if configuration.usesMagnitudes {
        let name = "\(Self.prefix)\(linear.path).lora_magnitude_vector"
        let magnitudes =
          values(name, [linear.outputSize]) ?? linear.rowNorms(adding: factors, scaling: scaling)
        parameters.append(Parameter(name, magnitudes))
      }
    }

    func train(_ base: Parameter, name: String) {
      substitutions.append((base, parameters.count))
      parameters.append(Parameter(name, values(name, base.shape) ?? base.value.copy()))
    }
    let left = trainsHeadBiases ? [] : description.head?.parameters ?? []
    func isLeft(_ bias: Parameter) -> Bool { left.contains { $0 === bias } }
    if configuration.bias != .none {
      for linear in description.linears where !saved(linear.path) {
        guard let bias = linear.bias, configuration.bias == .all || terms[linear.path] != nil, !isLeft(bias)
        else { continue }
        let owner = terms[linear.path] == nil ? linear.path : linear.path + ".base_layer"
        train(bias, name: "\(Self.prefix)\(owner).bias")
      }
      if configuration.bias == .all {
        let done = Set(description.linears.compactMap { $0.bias?.name })
        for base in model.parameters where base.name.hasSuffix(".bias") && !done.contains(base.name) && !isLeft(base) {
          if !saved(base.modulePath) { train(base, name: Self.prefix + base.name) }
        }
      }
    }
    // A head that shares its tensor with the embedding is copied for itself alone.
    let head = description.linears.first {
      description.outputHeadPaths.contains($0.path) && $0.weight === description.wordEmbedding
    }
    let embedding = description.wordEmbedding
    if saved(embedding.modulePath) {
      // PEFT's copy of a module is seen by that module alone, not by others that read the same tensor.
      guard description.kind != .encoderDecoder, head.map({ saved($0.path) }) ?? true else {
        throw MethodError.badOption(
          option: "--modules-to-save", value: embedding.modulePath,
          expected: "modules with a tensor of their own; other modules read this one besides"
            + (description.kind == .decoder ? " (name lm_head, too, and both get a copy)" : ""))
      }
    }
    var savedHeads: [String: Int] = [:]
    for base in model.parameters where saved(base.modulePath) { train(base, name: Self.prefix + base.name) }
    if let head, saved(head.path) {
      savedHeads[head.path] = parameters.count
      let name = "\(Self.prefix)\(head.path).weight"
      parameters.append(Parameter(name, values(name, head.weight.shape) ?? head.weight.value.copy()))
    }
    if !configuration.modulesToSave.isEmpty, substitutions.isEmpty, savedHeads.isEmpty {
      throw MethodError.nothingMatches(
        option: "--modules-to-save", value: configuration.modulesToSave.joined(separator: ","),
        known: description.outputHeadPaths)
    }
    self.parameters = parameters
    self.substitutions = substitutions
    self.terms = terms
    self.savedHeads = savedHeads
  }

  // MARK: The method

  public var learningRateFactors: [Double] {
    parameters.map { $0.name.contains("lora_B") || $0.shape.count == 1 ? configuration.plusRatio : 1 }
  }

  /// DoRA's factors m / n in place of m; for PiSSA `[A; A₀]` and `[B, -B₀]`, which leave W as it is in the file.
  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    var sites = parameters
    for term in terms.values {
      let (a, b) = (parameters[term.a], parameters[term.a + 1])
      if let initial = term.initial {
        sites[term.a] = tape.above(a, Variable(constant: initial.a))
        sites[term.a + 1] = tape.besides(b, tape.scaled(Variable(constant: initial.b), by: -1))
      }
      if configuration.usesMagnitudes {
        let norms = term.linear.rowNorms(
          adding: LowRankFactors(a: a.value, b: b.value), scaling: term.scaling)
        sites[term.a + 2] = tape.quotient(parameters[term.a + 2], by: norms)
      }
    }
    return sites
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    LoRASeams(
      terms: terms, sites: sites, savedHeads: savedHeads, dropout: Float(configuration.dropout),
      usesMagnitudes: configuration.usesMagnitudes)
  }

  private struct LoRASeams: Seams {
    let terms: [String: Term]
    let sites: [Variable]
    let savedHeads: [String: Int]
    let dropout: Float
    let usesMagnitudes: Bool

    func adapts(_ layer: Linear) -> Bool { terms[layer.path] != nil || savedHeads[layer.path] != nil }

    func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable? {
      if let head = savedHeads[layer.path] {
        return pass.tape.linear(x, weight: sites[head], keepsFP32: layer.keepsFP32)
      }
      guard let term = terms[layer.path] else { return nil }
      let mask = dropout > 0 ? pass.dropoutMask(layout, rate: dropout) : nil
      if usesMagnitudes { return decomposed(layer, x, term, mask, pass) }
      return layer.unadapted(x, pass, lowRank: lowRank(term, mask))
    }

    private func lowRank(_ term: Term, _ mask: DropoutMask? = nil) -> LowRankTerm {
      LowRankTerm(a: sites[term.a], b: sites[term.a + 1], scaling: term.scaling, dropout: mask)
    }

    /// `b + m/n ⊙ (W x + s B A x)`. With dropout the update alone sees the thinned input, also in its part of W:
    /// `b + W x + m/n ⊙ (W x' + s B A x') - W x'`, as PEFT has it.
    private func decomposed(
      _ layer: Linear, _ x: Variable, _ term: Term, _ mask: DropoutMask?, _ pass: ForwardPass
    ) -> Variable {
      let tape = pass.tape
      let bare = Linear(
        path: layer.path, weight: layer.weight, layout: layer.layout, keepsFP32: layer.keepsFP32)
      let thinned = tape.dropout(x, mask)
      let whole = tape.columnScaled(bare.unadapted(thinned, pass, lowRank: lowRank(term)), by: sites[term.a + 2])
      guard mask != nil else { return layer.bias.map { tape.biased(whole, by: pass.variable($0)) } ?? whole }
      let plain = tape.residual(layer.unadapted(x, pass), adding: whole)
      return tape.residual(plain, adding: tape.scaled(bare.unadapted(thinned, pass), by: -1))
    }
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    // PiSSA leaves W for W - s B₀ A₀. Written is the plain LoRA over W that computes the same, of twice the rank (PEFT's own
    // conversion, `subtract_mutated_init`): whoever loads it needs no decomposition.
    let isDoubled = terms.values.contains { $0.initial != nil }
    let values = isDoubled ? siteValues : parameters.map(\.value)
    var training: [String: Tensor] = [:]
    if isDoubled {
      training = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) })
      for (path, term) in terms {
        training["\(Self.prefix)\(path).\(LowRankFactors.initialA)"] = term.initial?.a
        training["\(Self.prefix)\(path).\(LowRankFactors.initialB)"] = term.initial?.b
      }
    }
    return AdapterFiles(
      config: configuration.json(baseModelName: baseModelName, isDoubled: isDoubled, model: model),
      tensors: Dictionary(uniqueKeysWithValues: zip(parameters.map(\.name), values)), trainingTensors: training)
  }

  static let entry = MethodEntry(
    name: "lora", peftType: "LORA", defaultLearningRate: 3e-3, head: .byMethod,
    make: { options, model, seed in
      try LoRA(
        LoRAConfiguration(options, model.description), model, trainsHeadBiases: options.trainsHead,
        values: { _, _ in nil }, seed: seed)
    },
    read: { folder, model in
      let folder = folder.withPlainNames
      let isDoubled = !folder.trainingTensors.isEmpty
      let weights = isDoubled ? folder.trainingWeights() : folder.weights()
      var configuration = try LoRAConfiguration(folder.config, model.description)
      // Files of PEFT up to 0.9 do not say so, but hold the head all the same.
      if let head = model.description.head, folder.holds(head),
        !configuration.modulesToSave.contains(where: { head.module.hasSuffix($0) })
      {
        configuration.modulesToSave += TrainedHead.modules
      }
      if isDoubled { try configuration.halve(folder.config) }
      let headBiases = model.description.head?.parameters.filter { $0.shape.count == 1 }.map { LoRA.prefix + $0.name }
      let method = try LoRA(
        configuration, model, trainsHeadBiases: headBiases?.contains(where: weights.names.contains) ?? true,
        values: { name, shape in
          LowRankFactors.isInitial(name) && !isDoubled ? nil : weights.scope().tensor(name, shape)
        }, seed: 0)
      // Copies that PEFT saves beside the real classifier and norms (bias "all") are known and left alone.
      let copies = weights.names.filter { $0.contains(".modules_to_save.") || $0.contains(".original_module.") }
      // Of an adapted head that shares its tensor PEFT saves the tensor itself, too.
      for head in model.description.linears where model.description.outputHeadPaths.contains(head.path) {
        let name = "\(LoRA.prefix)\(head.path).base_layer.weight"
        guard weights.names.contains(name) else { continue }
        guard weights.tensor(name, head.weight.shape).hasSameBytes(as: head.weight.value) else {
          throw MethodError.unsupported(path: folder.config.origin, key: name, value: "a head that is not the base's")
        }
      }
      try weights.finish(tolerated: copies)
      if isDoubled { try folder.requireSame(method.adapterFiles(baseModelName: "").tensors) }
      return method
    })
}
