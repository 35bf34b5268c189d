import Checkpoints
import NN
import PEFTMethods
import TensorCore

/// The method written as an adapter folder, against the folder HF PEFT wrote.
extension CaseReplay {
  /// Keys of `adapter_config.json` without which HF PEFT fails or computes something else.
  private static let configKeys = [
    "peft_type", "task_type", "inference_mode", "num_virtual_tokens", "num_transformer_submodules",
    "token_dim", "num_layers", "num_attention_heads", "r", "lora_alpha", "target_modules", "feedforward_modules",
    "use_rslora",
    "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
    "modules_to_save", "bias", "encoder_hidden_size", "prefix_projection", "encoder_reparameterization_type",
    "base_model_name_or_path", "config", "model_type", "model_class", "hidden_size", "model_name",
  ]

  /// Key set and shapes in both directions, and the configuration; at the start also every byte.
  func adapterFindings(_ folder: String) throws -> [Finding] {
    let expected = try AdapterFolder.read(file.url(folder))
    let config = expected.config
    let baseName =
      try config.optionalString("base_model_name_or_path") ?? config.optionalString("model_name") ?? ""
    let found = try method.adapterFiles(baseModelName: baseName)
    let label = folder == "adapter_final" ? "final" : "initial"
    var keys = Finding("\(label) keys")
    // What a network on the parameter side makes is computed anew.
    var computed = Finding("network output", Tolerance(absolute: 1e-5))
    let surplus = Set(try file.json.optionalStrings("extra_keys_saved_by_peft") ?? [])
    keys.compare(names: found.tensors.keys, expected.tensors.keys.filter { !surplus.contains($0) })
    for (name, tensor) in found.tensors {
      guard let reference = expected.tensors[name] else { continue }
      keys.compare(exactly: tensor.shape, reference.shape, at: "shape of \(name)")
      if label == "initial" {
        if found.trainingTensors.isEmpty {
          keys.compare(exactly: tensor.hasSameBytes(as: reference), true, at: "same bytes in \(name)")
        } else {
          computed.compare(tensor, reference, at: name)
        }
      }
    }
    var options = Finding("\(label) config")
    let foundConfig = found.config.flatMap(\.members) ?? [:]
    for key in Self.configKeys where foundConfig[key] != nil || expected.config.members[key] != nil {
      options.compare(
        exactly: Self.comparable(foundConfig[key], key), Self.comparable(expected.config.members[key], key),
        at: key)
    }
    return [keys, options] + (found.trainingTensors.isEmpty || label == "final" ? [] : [computed])
  }

  /// The weights that hold the adapter's effect: which change, and the values of those that the reference kept.
  func mergeFindings() throws -> [Finding] {
    guard let mergeable = method as? any MergeableMethod else {
      throw NotSupported(reason: "merging \(method.name)")
    }
    let merged = try mergeable.mergedTensors(model, direction: .merge)
    var names = Finding("merged names")
    names.compare(names: merged.keys, try file.json.strings("merged_changed_tensors"))
    var values = Finding("merged", Tolerance(absolute: 2e-6, relative: 1e-5))
    let expected = try file.tensors("merged_init.safetensors")
    for name in expected.names {
      if let found = merged[name] { values.compare(found, try expected.tensor(name), at: name) }
    }
    return [names, values]
  }

  /// Null and an absent key are the same, so are 8 and 8.0, and one layer or pattern and a list of it; lists of modules are sets.
  private static func comparable(_ json: JSON?, _ key: String) -> String {
    switch json ?? .null {
    case .integer where key == "layers_to_transform", .string where key == "layers_pattern":
      return "[\(comparable(json, ""))]"
    case .array(let elements)
    where key == "target_modules" || key == "modules_to_save" || key == "feedforward_modules":
      return Set(elements.map { comparable($0, "") }).sorted().joined(separator: ", ")
    case .array(let elements): return "[\(elements.map { comparable($0, "") }.joined(separator: ", "))]"
    case .object(let members):
      let parts = members.sorted { $0.key < $1.key }.map { "\($0.key): \(comparable($0.value, ""))" }
      return "{\(parts.joined(separator: ", "))}"
    case .integer(let value): return "\(Double(value))"
    case .double(let value): return "\(value)"
    case .string(let text): return "\"\(text)\""
    case .bool(let value): return "\(value)"
    case .null: return "null"
    }
  }
}

extension JSON {
  fileprivate var members: [String: JSON]? {
    guard case .object(let members) = self else { return nil }
    return members.dictionary
  }
}
