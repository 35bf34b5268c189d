import Autograd

/// The scale and shift of a layer norm.
public struct Norm: Sendable {
  public let weight: Parameter
  public let bias: Parameter

  public init(weight: Parameter, bias: Parameter) {
    self.weight = weight
    self.bias = bias
  }

  public var parameters: [Parameter] { [weight, bias] }

  public func callAsFunction(_ x: Variable, epsilon: Float, _ pass: ForwardPass) -> Variable {
    pass.tape.layerNorm(x, weight: pass.variable(weight), bias: pass.variable(bias), epsilon: epsilon)
  }
}
