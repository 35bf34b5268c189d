import Autograd
import TensorCore

/// A named tensor of a model or a method, under the name its checkpoint format gives it.
///
/// Safety of `@unchecked Sendable`: workers only read `value`; a trained parameter is written by the main thread between
/// steps, when no worker runs. Values of a base model may be mapped read-only from the checkpoint and are never written.
public final class Parameter: @unchecked Sendable {
  public let name: String
  public let value: Tensor

  public init(_ name: String, _ value: Tensor) {
    self.name = name
    self.value = value
  }

  public var shape: [Int] { value.shape }
  public var count: Int { value.count }
}

/// A projection of a model: one place where a method may step in.
public struct Linear: Sendable {
  /// Module path in the base model, such as `encoder.block.0.layer.0.SelfAttention.q`.
  public let path: String
  public let weight: Parameter
  public let bias: Parameter?
  public let layout: WeightLayout
  /// Multiplied in fp32 where activations are fp16, its result not rounded: HF's `_keep_in_fp32_modules`, and heads.
  public let keepsFP32: Bool

  public init(
    path: String, weight: Parameter, bias: Parameter? = nil, layout: WeightLayout = .outputByInput,
    keepsFP32: Bool = false
  ) {
    self.path = path
    self.keepsFP32 = keepsFP32
    self.weight = weight
    self.bias = bias
    self.layout = layout
  }

  public var inputSize: Int { layout == .outputByInput ? weight.shape[1] : weight.shape[0] }
  public var outputSize: Int { layout == .outputByInput ? weight.shape[0] : weight.shape[1] }

  /// `y = x W + b`, adapted by the method of the pass. Shapes: x `[n, in]`, y `[n, out]`.
  public func callAsFunction(_ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable {
    let y = pass.seams.linear(self, x, layout, pass) ?? unadapted(x, pass)
    pass.watch?.see(path, input: x.value, output: y.value)
    return y
  }

  /// The projection with an optional low-rank term, for methods that add one.
  public func unadapted(_ x: Variable, _ pass: ForwardPass, lowRank: LowRankTerm? = nil) -> Variable {
    pass.tape.linear(
      x, weight: pass.variable(weight), bias: bias.map(pass.variable), layout: layout, lowRank: lowRank,
      frozen: pass.frozen(weight), keepsFP32: keepsFP32)
  }
}
