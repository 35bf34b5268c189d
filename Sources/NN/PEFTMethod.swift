import Autograd
import Checkpoints
import TensorCore

/// A trained method as files.
public struct AdapterFiles: Sendable {
  /// `adapter_config.json`; nil where the tensors are those of a whole model.
  public let config: JSON?
  public let tensors: [String: Tensor]
  /// What is trained, where `tensors` hold only what came of it (a prompt, but not the network that made it): kept beside
  /// the adapter, so that training can go on from it.
  public let trainingTensors: [String: Tensor]

  /// Of several methods at once: name and files of each; then there is nothing else.
  public let parts: [(name: String, files: AdapterFiles)]

  public init(config: JSON?, tensors: [String: Tensor], trainingTensors: [String: Tensor] = [:]) {
    self.config = config
    self.tensors = tensors
    self.trainingTensors = trainingTensors
    parts = []
  }

  public init(parts: [(name: String, files: AdapterFiles)]) {
    config = nil
    tensors = [:]
    trainingTensors = [:]
    self.parts = parts
  }
}

/// A way of tuning a frozen model: its parameters, and its answers to the model's seams.
///
/// `parameters` is what the optimizer updates. `sites` is what leaves read: for most methods the same tensors, for
/// methods with a network on the parameter side (P-tuning, prefix MLP) that network's output, computed once per step by
/// `materialise`. Leaf gradients are reduced at the sites.
public protocol PEFTMethod: AnyObject, Sendable {
  /// The word of the command line, such as `prompt-tuning`.
  var name: String { get }
  var parameters: [Parameter] { get }
  /// What is trained, where the method's name does not tell.
  var trainedParts: String? { get }
  /// Parameters of the base that trained copies stand in for, with the index of the copy among the sites.
  var substitutions: [(base: Parameter, site: Int)] { get }
  /// The sites as a function of the parameters, on a tape of its own. The identity unless the method says otherwise.
  func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable]
  /// The seams of one pass over the given sites.
  func seams(_ sites: [Variable]) -> any Seams
  /// Factor on the learning rate of each parameter.
  var learningRateFactors: [Double] { get }
  /// Virtual tokens in front of every source: they count as work, not as source tokens.
  var virtualTokenCount: Int { get }
  /// Positions that virtual tokens and prefixes take away from those of the model.
  var occupiedPositionCount: Int { get }
  /// The method in the file format its users load: HF PEFT's adapter folder where PEFT knows the method.
  func adapterFiles(baseModelName: String) throws -> AdapterFiles
}

extension PEFTMethod {
  public var substitutions: [(base: Parameter, site: Int)] { [] }
  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] { parameters }
  public func seams(_ sites: [Variable]) -> any Seams { NoSeams() }
  public var trainedParts: String? { nil }
  public var learningRateFactors: [Double] { parameters.map { _ in 1 } }
  public var virtualTokenCount: Int { 0 }
  public var occupiedPositionCount: Int { virtualTokenCount }
  public var trainableCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// A pass through a model under this method.
  public func pass(
    tape: Tape, sites: [Variable], dropout: DropoutPolicy? = nil, weights: FrozenWeights = .plain,
    frozen: FrozenStates? = nil
  ) -> ForwardPass {
    var substitutes: [ObjectIdentifier: Variable] = [:]
    for (base, site) in substitutions { substitutes[ObjectIdentifier(base)] = sites[site] }
    return ForwardPass(
      tape: tape, seams: seams(sites), substitutes: substitutes, dropout: dropout, weights: weights, frozen: frozen)
  }
}

/// No method: the base model as it is, for evaluation and generation without an adapter.
public final class FrozenBase: PEFTMethod {
  public let name = "none"
  public let parameters: [Parameter] = []

  public init() {}

  public func adapterFiles(baseModelName: String) -> AdapterFiles { AdapterFiles(config: nil, tensors: [:]) }
}
