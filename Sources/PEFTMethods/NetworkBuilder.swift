import Autograd
import NN
import TensorCore

/// The parameters of a network on the parameter side, made one after another; initial values as PyTorch's modules draw
/// them, from random numbers of a site of their own.
struct NetworkBuilder {
  private(set) var parameters: [Parameter] = []
  /// Path in front of every name, such as `prompt_encoder`.
  private let path: String
  private let firstSite: Int
  private let seed: UInt64
  private let values: (_ name: String, _ shape: [Int]) -> Tensor?

  /// - Parameter values: tensor for a name and shape; the initial one if nil.
  init(
    _ path: String, firstSite: Int = 0, seed: UInt64, values: @escaping (_ name: String, _ shape: [Int]) -> Tensor?
  ) {
    self.path = path
    self.firstSite = firstSite
    self.seed = seed
    self.values = values
  }

  private mutating func add(_ name: String, _ shape: [Int], initial: (CounterGenerator) -> Tensor) {
    let generator = CounterGenerator(
      seed: seed, purpose: .initialization, site: UInt32(firstSite + parameters.count))
    let name = "\(path).\(name)"
    parameters.append(Parameter(name, values(name, shape) ?? initial(generator)))
  }

  /// `torch.nn.Embedding`: N(0, 1).
  mutating func embedding(_ name: String, _ shape: [Int]) {
    add("\(name).weight", shape) { Initialization.normal(shape, deviation: 1, $0) }
  }

  /// Uniform up to `bound`.
  mutating func uniform(_ name: String, _ shape: [Int], bound: Double) {
    add(name, shape) { Initialization.uniform(shape, bound: bound, $0) }
  }

  /// `torch.nn.Linear`: weight `[out, in]` and bias `[out]`, both uniform up to 1/√in.
  mutating func linear(_ name: String, inputs: Int, outputs: Int) {
    let bound = 1 / Double(inputs).squareRoot()
    uniform("\(name).weight", [outputs, inputs], bound: bound)
    uniform("\(name).bias", [outputs], bound: bound)
  }
}

/// Hands out the variables of a network in the order in which its parameters were made.
struct NetworkVariables {
  private var rest: ArraySlice<Variable>

  init(_ variables: ArraySlice<Variable>) { rest = variables }

  mutating func next() -> Variable {
    guard let first = rest.popFirst() else { preconditionFailure("a network with fewer parameters than it reads") }
    return first
  }

  /// `y = x Wᵀ + b` with the next two.
  mutating func linear(_ x: Variable, _ tape: Tape) -> Variable {
    let (weight, bias) = (next(), next())
    return tape.linear(x, weight: weight, bias: bias)
  }
}

extension PEFTMethod {
  /// The sites at the present parameters, nothing recorded.
  var siteValues: [Tensor] {
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    return materialise(parameters.map { Variable(constant: $0.value) }, tape).map(\.value)
  }
}
