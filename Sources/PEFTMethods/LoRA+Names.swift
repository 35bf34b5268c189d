import Checkpoints
import TensorCore

extension AdapterFolder {
  /// The folder with the names under which PEFT saves a LoRA: without the adapter's name in `lora_A.default.weight`, and without
  /// `.weight` behind the magnitudes of DoRA.
  ///
  /// Both forms are those of PEFT's modules in memory, and are loaded by it as well.
  var withPlainNames: AdapterFolder {
    func plain(_ tensors: [String: Tensor]) -> [String: Tensor] {
      let renamed = tensors.map { (Self.plainName($0.key), $0.value) }
      // A file with both names of a tensor keeps them, and is refused for what nobody asks for.
      return Set(renamed.map(\.0)).count == tensors.count ? Dictionary(uniqueKeysWithValues: renamed) : tensors
    }
    return AdapterFolder(
      url: url, config: config, tensors: plain(tensors), trainingTensors: plain(trainingTensors))
  }

  private static func plainName(_ name: String) -> String {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard let factor = parts.lastIndex(where: { ["lora_A", "lora_B", "lora_magnitude_vector"].contains($0) }) else {
      return name
    }
    let isMagnitude = parts[factor] == "lora_magnitude_vector"
    // `lora_A.NAME.weight`; `lora_magnitude_vector.NAME`, `.NAME.weight` or `.weight`.
    if isMagnitude {
      parts.removeSubrange((factor + 1)...)
    } else if parts.count == factor + 3, parts[factor + 2] == "weight" {
      parts.remove(at: factor + 1)
    }
    return parts.joined(separator: ".")
  }
}
