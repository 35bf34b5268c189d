import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// What holds for every method of the catalogue, whatever it is.
@Suite struct CatalogueTests {
  /// A method with options that bring out its parts.
  struct Variant: CustomTestStringConvertible, Sendable {
    let label: String
    let method: String
    /// How far the logits of a fresh method may be from the base's; nil where the paper starts elsewhere.
    let startsWithin: Float?
    let options: MethodOptions
    /// Folder of the reference model.
    let model: String
    /// Name of the method that its files are read as.
    let readsAs: String
    var testDescription: String { model == "t5_v10" ? label : "\(label) on \(model)" }

    init(
      _ label: String, _ method: String, startsWithin: Float?, on model: String = "t5_v10", readsAs: String? = nil,
      _ change: (inout MethodOptions) -> Void = { _ in }
    ) {
      self.label = label
      self.method = method
      self.model = model
      self.readsAs = readsAs ?? method
      self.startsWithin = startsWithin
      options = MethodOptions {
        $0.virtualTokenCount = 3
        $0.encoderHiddenSize = 6
        change(&$0)
      }
    }
  }

  static let variants =
    [
      Variant("full", "full", startsWithin: 0),
      Variant("prompt-tuning", "prompt-tuning", startsWithin: nil),
      Variant("lora", "lora", startsWithin: 1e-5),
      Variant("lora gaussian", "lora", startsWithin: 1e-5) { $0.loraInitialization = .gaussian },
      Variant("lora orthogonal", "lora", startsWithin: 1e-4) { $0.loraInitialization = .orthogonal },
      Variant("lora random", "lora", startsWithin: nil) { $0.loraInitialization = .random },
      Variant("pissa", "lora", startsWithin: 1e-4) {
        $0.loraInitialization = .pissa
        $0.targetModules = .names(["q", "wi"])
        $0.rankPattern = ["wi": 5]
      },
      Variant("dora", "lora", startsWithin: 1e-5) { $0.usesMagnitudes = true },
      Variant("lora of some layers", "lora", startsWithin: 1e-5) {
        $0.layers = [1]
        $0.layersPattern = ["block"]
        $0.targetModules = .names(["k", "wo"])
        $0.modulesToSave = ["final_layer_norm"]
      },
      Variant("ia3", "ia3", startsWithin: 1e-5), Variant("bitfit", "bitfit", startsWithin: 0),
      // Without a kink, for the differences below.
      Variant("pfeiffer", "adapter", startsWithin: 0.5) { $0.nonLinearity = "gelu" },
      Variant("houlsby", "adapter", startsWithin: 0.5) { $0.adapterPlacement = .houlsby },
      Variant("prefix-tuning", "prefix-tuning", startsWithin: nil),
      Variant("prefix-tuning with an MLP", "prefix-tuning", startsWithin: nil) { $0.prefixProjection = true },
      Variant("prefix-tuning-paper", "prefix-tuning-paper", startsWithin: nil) { $0.prefixProjection = true },
      Variant("p-tuning lstm", "p-tuning", startsWithin: nil),
      Variant("p-tuning-template", "p-tuning-template", startsWithin: nil) {
        $0.promptTemplate = try? PromptTemplate("[P2] {text} x [P1] y") { $0.contains("x") ? [31, 8] : [77] }
      },
      Variant("p-tuning mlp", "p-tuning", startsWithin: nil) { $0.promptEncoder = .mlp },
    ] + ["gpt2", "roberta"].flatMap(ofOneStack)

  /// The methods on a model with one stack, biases and, of a classifier, a head.
  private static func ofOneStack(_ model: String) -> [Variant] {
    [
      Variant("full", "full", startsWithin: 0, on: model),
      Variant("prompt-tuning", "prompt-tuning", startsWithin: nil, on: model),
      Variant("p-tuning lstm", "p-tuning", startsWithin: nil, on: model),
      Variant("prefix-tuning", "prefix-tuning", startsWithin: nil, on: model),
      Variant("prefix-tuning with an MLP", "prefix-tuning", startsWithin: nil, on: model) {
        $0.prefixProjection = true
      },
      Variant("prefix-tuning-paper", "prefix-tuning-paper", startsWithin: nil, on: model),
      Variant("lora", "lora", startsWithin: 1e-5, on: model),
      Variant("lora with all biases", "lora", startsWithin: 1e-5, on: model) { $0.bias = .all },
      Variant("dora", "lora", startsWithin: 1e-5, on: model) { $0.usesMagnitudes = true },
      Variant("pissa", "lora", startsWithin: 1e-4, on: model) { $0.loraInitialization = .pissa },
      Variant("ia3", "ia3", startsWithin: 1e-5, on: model),
      // Written as a LoRA that adds nothing but biases and norms.
      Variant("bitfit", "bitfit", startsWithin: 0, on: model, readsAs: "lora"),
      Variant("pfeiffer", "adapter", startsWithin: 0.5, on: model) { $0.nonLinearity = "gelu" },
      Variant("houlsby", "adapter", startsWithin: 0.5, on: model) { $0.adapterPlacement = .houlsby },
    ]
  }

  private func make(_ variant: Variant, _ model: any LanguageModel) throws -> any PEFTMethod {
    try MethodRequest(variant.method).make(variant.options, model, seed: 7)
  }

  /// Moves every parameter a little, so that nothing is zero by its start.
  private func shake(_ method: any PEFTMethod, by size: Double = 0.05) {
    for (number, parameter) in method.parameters.enumerated() {
      let noise = Initialization.uniform(
        parameter.shape, bound: size, CounterGenerator(seed: 91, purpose: .bench, site: UInt32(number)))
      for index in 0..<parameter.count { parameter.value.pointer[index] += noise.pointer[index] }
    }
  }

  @Test func everyEntryIsTested() {
    #expect(Set(MethodCatalogue.entries.map(\.name)) == Set(Self.variants.map(\.method)))
    let types = MethodCatalogue.entries.compactMap(\.peftType)
    #expect(Set(types).count == types.count)
    #expect(MethodCatalogue.entries.allSatisfy { $0.defaultLearningRate > 0 })
  }

  @Test(arguments: variants) func startsWhereThePaperSays(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let method = try make(variant, model)
    let distance = largestDifference(model.logits(method).values, model.logits(FrozenBase()).values)
    if let bound = variant.startsWithin { #expect(distance <= bound) } else { #expect(distance > 1e-3) }
    shake(method)
    #expect(largestDifference(model.logits(method).values, model.logits(FrozenBase()).values) > 1e-3)
  }

  @Test(arguments: variants) func theSeedDecides(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let (one, two) = (try make(variant, model), try make(variant, model))
    #expect(one.parameters.map(\.name) == two.parameters.map(\.name))
    #expect(Set(one.parameters.map(\.name)).count == one.parameters.count)
    for (a, b) in zip(one.parameters, two.parameters) { #expect(a.value.hasSameBytes(as: b.value), "\(a.name)") }
  }

  @Test(arguments: variants) func theBaseStaysAsItIs(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let before = model.parameters.map { $0.value.copy() }
    let method = try make(variant, model)
    shake(method)
    _ = model.gradients(method)
    for parameter in method.parameters { parameter.value.fill(0.25) }
    _ = try method.adapterFiles(baseModelName: "base")
    for (parameter, copy) in zip(model.parameters, before) {
      #expect(parameter.value.hasSameBytes(as: copy), "\(parameter.name)")
      #expect(!method.parameters.contains { $0 === parameter }, "\(parameter.name)")
    }
  }

  /// Along the gradient of each tensor the loss changes as the gradient says.
  @Test(arguments: variants) func gradientsAreDifferences(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let method = try make(variant, model)
    shake(method)
    let gradients = model.gradients(method)
    let largest = gradients.reduce(0) { max($0, $1.values.reduce(0) { $0 + abs(Double($1)) }) }
    for (parameter, gradient) in zip(method.parameters, gradients) {
      // DoRA holds its norms constant in the backward pass: A and B have no true derivative to compare with.
      if variant.label == "dora", parameter.shape.count == 2 { continue }
      let total = gradient.values.reduce(0) { $0 + abs(Double($1)) }
      // Entries that are never read, such as half of PEFT's prefix, have none at all; tiny ones drown in rounding.
      guard total > 0.01 * largest else { continue }
      let middle = parameter.value.copy()
      let step = min(0.02 / total, 0.02)
      func loss(_ sign: Double) -> Double {
        for index in 0..<parameter.count {
          let slope = gradient.pointer[index]
          parameter.value.pointer[index] =
            middle.pointer[index] + Float(sign * step) * (slope > 0 ? 1 : slope < 0 ? -1 : 0)
        }
        return model.lossSum(method)
      }
      let difference = (loss(1) - loss(-1)) / (2 * step)
      parameter.value.copyElements(from: middle)
      #expect(abs(difference - total) <= 0.05 * total, "\(parameter.name): \(difference) against \(total)")
    }
  }

  @Test(arguments: variants) func whatIsWrittenIsReadBack(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let method = try make(variant, model)
    shake(method)
    let files = try method.adapterFiles(baseModelName: "base")
    guard let config = files.config else {
      #expect(Set(files.tensors.keys) == Set(model.parameters.map(\.name)))
      return
    }
    try withTemporaryFolder { folder in
      try AdapterFolder.write(
        config: config, tensors: files.tensors, trainingTensors: files.trainingTensors, to: folder)
      let read = try MethodCatalogue.read(folder: folder, model: model)
      #expect(read.name == variant.readsAs)
      let values = Dictionary(uniqueKeysWithValues: read.parameters.map { ($0.name, $0.value) })
      if variant.readsAs == variant.method { #expect(values.count == method.parameters.count) }
      for parameter in method.parameters {
        #expect(values[parameter.name]?.hasSameBytes(as: parameter.value) == true, "\(parameter.name)")
      }
      #expect(model.logits(read).values == model.logits(method).values)
      // Others have the adapter without the form that was trained. The head of a classifier is part of it where the
      // adapter's own file has no place for one.
      let isApart = variant.method == "adapter" && model.description.head != nil
      guard !files.trainingTensors.isEmpty, !isApart else { return }
      try FileManager.default.removeItem(at: folder.appending(path: "training_form.safetensors"))
      let bare = try MethodCatalogue.read(folder: folder, model: model)
      #expect(largestDifference(model.logits(bare).values, model.logits(method).values) <= 1e-5)
      #expect(try bare.adapterFiles(baseModelName: "base").trainingTensors.isEmpty)
    }
  }

  @Test func aTrainingFormOfAnotherAdapterIsRefused() throws {
    for variant in Self.variants {
      let model = try Golden.anyModel(variant.model)
      let method = try make(variant, model)
      let files = try method.adapterFiles(baseModelName: "base")
      guard let config = files.config, !files.trainingTensors.isEmpty, variant.method != "adapter" else { continue }
      shake(method)
      let other = try method.adapterFiles(baseModelName: "base").trainingTensors.mapValues { $0.copy() }
      try withTemporaryFolder { folder in
        let fresh = try make(variant, model).adapterFiles(baseModelName: "base")
        try AdapterFolder.write(config: config, tensors: fresh.tensors, trainingTensors: other, to: folder)
        let error = #expect(throws: MethodError.self, "\(variant.label)") {
          try MethodCatalogue.read(folder: folder, model: model)
        }
        #expect(error.map { "\($0)".contains("belongs to another adapter") } == true, "\(variant.label)")
      }
    }
  }

  /// A leaf's loss and gradient do not depend on who evaluates it after what.
  @Test(arguments: variants) func aLeafIsTheSameForEveryWorker(variant: Variant) throws {
    let model = try Golden.anyModel(variant.model)
    let method = try make(variant, model)
    shake(method)
    let first = model.gradients(method, pool: BufferPool())
    let used = BufferPool()
    _ = model.gradients(
      method,
      LeafBatch(
        sources: [[5, 6, 7, 8, 9, 1]], labels: [model.description.kind == .classifier ? [1] : [4, 1]], examples: [3]),
      pool: used)
    let second = model.gradients(method, pool: used)
    for (a, b) in zip(first, second) { #expect(a.hasSameBytes(as: b)) }
  }
}

extension LanguageModel {
  /// Loss sum of two fixed examples.
  func lossSum(_ method: any PEFTMethod) -> Double {
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let sites = method.materialise(method.parameters.map { Variable(constant: $0.value) }, tape)
    return lossSum(leaf, method.pass(tape: tape, sites: sites), gradientScale: 0)
  }

  /// Gradient of the loss sum at every parameter, zero where none flowed.
  func gradients(_ method: any PEFTMethod, _ batch: LeafBatch? = nil, pool: BufferPool = BufferPool()) -> [Tensor] {
    let outer = Tape(pool: BufferPool())
    let parameters = method.parameters.map { outer.variable($0.value) }
    let sites = method.materialise(parameters, outer)
    let tape = Tape(pool: pool)
    let variables = sites.map { tape.variable($0.value) }
    _ = lossSum(batch ?? leaf, method.pass(tape: tape, sites: variables), gradientScale: 1)
    tape.backward()
    for (site, variable) in zip(sites, variables) {
      if let gradient = variable.gradient { outer.seed(site, gradient: gradient.copy()) }
    }
    outer.backward()
    return parameters.map { $0.gradient?.copy() ?? Tensor(zeros: $0.shape) }
  }
}
