import Autograd
import Checkpoints
import NN
import TensorCore

/// Full fine-tuning: every tensor of the model is trained, in a copy; the base stays as it was read.
///
/// Its result is a model folder, not an adapter.
public final class FullFineTuning: PEFTMethod {
  public let name = "full"
  public let parameters: [Parameter]
  private let base: [Parameter]

  public init(_ model: any LanguageModel) {
    base = model.parameters
    parameters = base.map { Parameter($0.name, $0.value.copy()) }
  }

  public var substitutions: [(base: Parameter, site: Int)] { base.enumerated().map { ($1, $0) } }

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    AdapterFiles(config: nil, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  static let entry = MethodEntry(
    name: "full", peftType: nil, defaultLearningRate: 1e-4, head: .byMethod,
    make: { _, model, _ in FullFineTuning(model) },
    read: { folder, _ in
      throw MethodError.unsupported(path: folder.url.path, key: "peft_type", value: "a fully fine-tuned model")
    })
}
