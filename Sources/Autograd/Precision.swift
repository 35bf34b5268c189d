/// What frozen projections multiply in, and what activations are held in between operations.
public enum Precision: String, Sendable, CaseIterable {
  case fp32
  /// Operands of frozen projections and attention in bfloat16; activations in fp32.
  case bf16
  /// Weights, activations and their gradients are fp16 numbers; sums, norms, softmax and the residual stream are fp32.
  case fp16
}
