import Autograd
import CKernels
import Checkpoints
import NN
import TensorCore

/// What makes the `[P, W]` matrix of a prefix: the matrix itself, or small vectors and an MLP (Li & Liang 2021, §4.3, eq. 6),
/// `embedding [P, D]`, `transform.0` to E, tanh, `transform.2` to W. HF PEFT's `PrefixEncoder`.
struct PrefixEncoder {
  let parameters: [Parameter]
  let isProjected: Bool

  /// - Parameters:
  ///   - path: in front of the names of the parameters.
  ///   - projection: D and E of the MLP; nil for a matrix.
  init(
    _ path: String, firstSite: Int = 0, count: Int, width: Int, projection: (inputs: Int, hidden: Int)?, seed: UInt64,
    values: @escaping (_ name: String, _ shape: [Int]) -> Tensor?
  ) {
    var builder = NetworkBuilder(path, firstSite: firstSite, seed: seed, values: values)
    builder.embedding("embedding", [count, projection?.inputs ?? width])
    if let projection {
      builder.linear("transform.0", inputs: projection.inputs, outputs: projection.hidden)
      builder.linear("transform.2", inputs: projection.hidden, outputs: width)
    }
    parameters = builder.parameters
    isProjected = projection != nil
  }

  /// The matrix `[P, W]`, once per step. `variables`: those of the parameters, in order.
  func output(_ variables: ArraySlice<Variable>, _ tape: Tape) -> Variable {
    var variables = NetworkVariables(variables)
    let embedding = variables.next()
    guard isProjected else { return embedding }
    let hidden = tape.activation(ACTIVATION_TANH, variables.linear(embedding, tape))
    return variables.linear(hidden, tape)
  }
}

extension AdapterFolder {
  /// Refuses a training form whose network does not make what the adapter holds: one of the two files was exchanged.
  ///
  /// - Parameter computed: what the network makes, by its name in the adapter.
  func requireSame(_ computed: [String: Tensor]) throws {
    for (name, tensor) in computed {
      guard let stored = tensors[name], stored.shape == tensor.shape else {
        throw MethodError.unfitTensors(
          path: url.path, problems: ["\(name) has shape \(tensors[name]?.shape ?? []), expected \(tensor.shape)"])
      }
      let largest = zip(stored.values, tensor.values).map { abs($0 - $1) }.max() ?? 0
      guard largest <= 1e-3 else {
        throw MethodError.unfitTensors(
          path: url.path,
          problems: ["training_form.safetensors belongs to another adapter: \(name) differs by \(largest)"])
      }
    }
  }
}
