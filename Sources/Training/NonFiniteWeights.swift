import CKernels
import NN

extension LanguageModel {
  /// Names of weights that hold an infinite or undefined value: why a loss is not finite whatever is trained.
  var nonFiniteWeights: [String] {
    parameters.filter { k_all_finite($0.value.pointer, $0.value.count) == 0 }.map(\.name)
  }
}
