import Checkpoints
import NN

/// The layers that models are made of, under the names that checkpoints give their tensors.
extension WeightScope {
  func parameter(_ name: String, _ shape: [Int]) -> Parameter { Parameter(self.name(name), tensor(name, shape)) }

  /// The projection `name` with weight `[out, in]` and no bias.
  func linear(_ name: String, _ shape: [Int], keepsFP32: Bool = false) -> Linear {
    Linear(path: self.name(name), weight: parameter("\(name).weight", shape), keepsFP32: keepsFP32)
  }

  /// The projection `name` with weight `[out, in]` and bias `[out]`.
  func linear(_ name: String, inputs: Int, outputs: Int, keepsFP32: Bool = false) -> Linear {
    Linear(
      path: self.name(name), weight: parameter("\(name).weight", [outputs, inputs]),
      bias: parameter("\(name).bias", [outputs]), keepsFP32: keepsFP32)
  }

  /// GPT-2's projection `name` with weight `[in, out]` and bias `[out]`.
  func conv1D(_ name: String, inputs: Int, outputs: Int) -> Linear {
    Linear(
      path: self.name(name), weight: parameter("\(name).weight", [inputs, outputs]),
      bias: parameter("\(name).bias", [outputs]), layout: .inputByOutput)
  }

  func norm(_ name: String, _ width: Int) -> Norm {
    Norm(weight: parameter("\(name).weight", [width]), bias: parameter("\(name).bias", [width]))
  }
}

extension Linear {
  var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
}
