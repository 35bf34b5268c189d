import Autograd
import Checkpoints
import Foundation
import NN
import PEFTMethods
import TensorCore
import Testing

@testable import Models

/// The leading layers nothing trainable touches, and passes that start behind them.
@Suite struct FrozenStatesTests {
  private static func lora(_ model: T5, targets: String?) throws -> any PEFTMethod {
    var options = MethodOptions()
    options.factorRank = 3
    options.targetModules = targets.map { ModuleSelection(text: $0) }
    let method = try MethodCatalogue.entry(named: "lora").make(options, model, 7)
    for parameter in method.parameters where parameter.name.hasSuffix("lora_B.weight") {
      for index in 0..<parameter.count { parameter.value.pointer[index] = Float(index * 29 % 17 - 8) / 40 }
    }
    return method
  }

  private static let decoder = #"decoder\..*SelfAttention\.(q|v)"#

  /// A pass with gradients, and the variables whose gradients it gives.
  private static func recordingPass(
    _ method: any PEFTMethod, frozen: FrozenStates? = nil
  ) -> (pass: ForwardPass, sites: [Variable]) {
    let tape = Tape(pool: BufferPool())
    let sites = method.parameters.map { tape.variable($0.value) }
    return (method.pass(tape: tape, sites: sites, frozen: frozen), sites)
  }

  /// Two blocks and the final norm.
  @Test(arguments: ["t5_v10", "t5_v11"])
  func depthEndsBelowTheFirstTrainedLayer(name: String) throws {
    let model = try Golden.t5(named: name)
    func depth(_ method: any PEFTMethod) -> Int { model.frozenDepth(Self.recordingPass(method).pass) }
    #expect(depth(FrozenBase()) == 3)
    for (targets, expected) in [
      (nil, 0), (Self.decoder, 3), (#".*EncDecAttention\.(k|v)"#, 3), (#"encoder\.block\.1\..*\.wo"#, 1),
      (#"encoder\.block\.1\.layer\.0\..*\.k"#, 1), (#"encoder\.block\.0\..*\.o"#, 0), ("lm_head", 3),
    ] {
      #expect(try depth(Self.lora(model, targets: targets)) == expected, "\(targets ?? "default targets")")
    }
    for method in ["prompt-tuning", "full"] { #expect(try depth(Golden.method(method, model)) == 0, "\(method)") }
  }

  /// One example's shapes are the same either way, and so is every bit.
  @Test(arguments: ["t5_v10", "t5_v11"], 1...3)
  func aPassGoesOnFromAnyDepth(name: String, depth: Int) throws {
    let model = try Golden.t5(named: name)
    let method = try Self.lora(model, targets: Self.decoder)
    for number in [3, 11, 27] {
      let leaf = Examples.leaf([number])
      let states = model.frozenStates(source: leaf.sources[0], depth: depth, method.inferencePass())
      #expect(states.shape == [leaf.sources[0].count, model.configuration.hiddenSize])
      func gradients(_ frozen: FrozenStates?) -> (Double, [[Float]?]) {
        let (pass, sites) = Self.recordingPass(method, frozen: frozen)
        let sum = model.lossSum(leaf, pass, gradientScale: 0.25)
        pass.tape.backward()
        return (sum, sites.map { $0.gradient?.values })
      }
      let (plain, resumed) = (gradients(nil), gradients(FrozenStates(depth: depth, states: states)))
      #expect(plain.0 == resumed.0 && plain.1 == resumed.1, "example \(number)")
      #expect(plain.1.allSatisfy { $0?.contains { $0 != 0 } == true })
    }
  }

  @Test func statesOfALeafLieEndToEnd() throws {
    let model = try Golden.t5()
    let method = try Self.lora(model, targets: Self.decoder)
    let leaf = Examples.leaf([3, 11, 27, 8])
    let states = leaf.sources.map { model.frozenStates(source: $0, depth: 3, method.inferencePass()) }
    let all = Tensor(states.flatMap(\.values), shape: [leaf.sourceTokenCount, model.configuration.hiddenSize])
    let pass = method.pass(
      tape: Tape(pool: BufferPool(), recordsGradients: false),
      sites: method.parameters.map { Variable(constant: $0.value) }, frozen: FrozenStates(depth: 3, states: all))
    let plain = model.logits(leaf, method.inferencePass()).value
    #expect(largestDifference(model.logits(leaf, pass).value.values, plain.values) <= 1e-5)
  }

  /// With a trained decoder alone nothing of the encoder is recorded, and cross-attention gives its states no gradient.
  @Test func aFrozenEncoderIsNotRecorded() throws {
    let model = try Golden.t5()
    for (targets, needsGradient) in [(Self.decoder, false), (#"encoder\.block\.1\..*\.wo"#, true)] {
      let (pass, _) = Self.recordingPass(try Self.lora(model, targets: targets))
      let (states, layout) = model.encode(SourceBatch(sources: [[5, 6, 1]], examples: [0]), pass)
      #expect(states.needsGradient == needsGradient)
      let attention = try #require(model.decoder.blocks[0].crossAttention)
      guard case .states(let memory, _) = model.memory(of: attention, states: states, layout, queryCounts: [2], pass)
      else {
        Issue.record("few queries are not absorbed")
        continue
      }
      #expect(memory.needsGradient == needsGradient)
    }
  }
}
