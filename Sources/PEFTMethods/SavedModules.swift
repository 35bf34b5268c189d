import Autograd
import Checkpoints
import NN
import TensorCore

/// A method with whole tensors of the base in its files, which stand in for those of the base: modules trained as copies
/// (HF PEFT `modules_to_save`), and embeddings that were saved with the adapter (`save_embedding_layers`), which stay as they are.
///
/// LoRA trains copies of modules itself; its saved embeddings are read here.
public final class SavedModules: MergeableMethod {
  public let method: any PEFTMethod
  private let base: [Parameter]
  private let copies: [Parameter]
  /// The first of the copies are trained, the others are not.
  private let trainedCount: Int
  private let modules: [String]
  private let siteCount: Int

  private init(_ method: any PEFTMethod, _ saved: Saved, prefix: String) {
    self.method = method
    base = saved.tensors.map(\.base)
    copies = saved.tensors.map { Parameter(prefix + $0.base.name, $0.value) }
    trainedCount = saved.trainedCount
    modules = saved.modules
    siteCount = method.siteValues.count
  }

  // MARK: The method

  public var name: String { method.name }
  public var parameters: [Parameter] { method.parameters + copies }
  public var trainedParts: String? {
    let own = modules.isEmpty ? nil : "copies of \(modules.joined(separator: ", "))"
    return [method.trainedParts, own].compactMap(\.self).joined(separator: "; ")
  }
  public var learningRateFactors: [Double] {
    method.learningRateFactors + copies.indices.map { $0 < trainedCount ? 1 : 0 }
  }
  public var virtualTokenCount: Int { method.virtualTokenCount }
  public var occupiedPositionCount: Int { method.occupiedPositionCount }
  public var substitutions: [(base: Parameter, site: Int)] {
    method.substitutions + base.enumerated().map { ($1, siteCount + $0) }
  }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    let own = method.parameters.count
    return method.materialise(Array(parameters.prefix(own)), tape) + parameters.dropFirst(own)
  }

  public func seams(_ sites: [Variable]) -> any Seams { method.seams(Array(sites.prefix(siteCount))) }

  public func mergedTensors(_ model: any LanguageModel, direction: MergeDirection) throws -> [String: Tensor] {
    guard let mergeable = method as? any MergeableMethod else {
      throw MethodError.cannotMerge(method: name, reason: "no weights of the model do what it does")
    }
    guard direction == .merge else {
      throw MethodError.cannotMerge(method: name, reason: "values it replaced are lost with the merge")
    }
    let saved = zip(base, copies).map { ($0.name, $1.value.copy()) }
    return try mergeable.mergedTensors(model, direction: direction).merging(saved) { $1 }
  }

  public func adapterFiles(baseModelName: String) throws -> AdapterFiles {
    let files = try method.adapterFiles(baseModelName: baseModelName)
    guard case .object(var members)? = files.config else { return files }
    if !modules.isEmpty {
      var saved: [JSON] = []
      if case .array(let own)? = members["modules_to_save"] { saved = own }
      members["modules_to_save"] = .array(saved + modules.map { .string($0) })
    }
    let own = Dictionary(uniqueKeysWithValues: copies.map { ($0.name, $0.value) })
    return AdapterFiles(
      config: .object(members), tensors: files.tensors.merging(own) { $1 }, trainingTensors: files.trainingTensors)
  }

  // MARK: Reading

  /// What a folder holds besides its method.
  private struct Saved {
    var tensors: [(base: Parameter, value: Tensor)] = []
    var trainedCount = 0
    var modules: [String] = []
  }

  /// The method in a folder, with the tensors that are saved beside it.
  ///
  /// - Parameters:
  ///   - prefix: of the names of the base's tensors in the file.
  ///   - savesModules: whether the method leaves `modules_to_save` to this type.
  static func read(
    _ folder: AdapterFolder, _ model: any LanguageModel, prefix: String, savesModules: Bool,
    method read: (AdapterFolder) throws -> any PEFTMethod
  ) throws -> any PEFTMethod {
    var rest = folder.tensors
    var members = folder.config.members
    var saved = Saved()
    let modules = try folder.config.optionalStrings("modules_to_save") ?? []
    if savesModules, !modules.isEmpty {
      saved.modules = modules
      saved.tensors = try copies(of: modules, folder, model, prefix, &rest)
      saved.trainedCount = saved.tensors.count
      members["modules_to_save"] = .null
    }
    saved.tensors += try embeddings(folder, model, prefix, modules: modules, &rest)
    guard rest.count < folder.tensors.count || !saved.modules.isEmpty else { return try read(folder) }
    let method = try read(
      AdapterFolder(
        url: folder.url, config: JSONObject(members, origin: folder.config.origin), tensors: rest,
        trainingTensors: folder.trainingTensors))
    return saved.tensors.isEmpty ? method : SavedModules(method, saved, prefix: prefix)
  }

  private static func copies(
    of modules: [String], _ folder: AdapterFolder, _ model: any LanguageModel, _ prefix: String,
    _ rest: inout [String: Tensor]
  ) throws -> [(base: Parameter, value: Tensor)] {
    let source = folder.weights()
    let found = model.parameters.filter { isSaved($0.modulePath, modules) }
    guard !found.isEmpty, !found.contains(where: { $0 === model.description.wordEmbedding }) else {
      throw folder.config.error(
        "modules_to_save",
        expected: found.isEmpty
          ? "names of modules of the model" : "modules with a tensor of their own, not the embedding")
    }
    let copies = found.map { (base: $0, value: source.tensor(prefix + $0.name, $0.shape)) }
    let names = Set(found.map { prefix + $0.name })
    rest = rest.filter { !names.contains($0.key) }
    // Everything else in the file belongs to the method.
    try source.finish(tolerated: ["*"])
    return copies
  }

  /// Embeddings that differ from those of the base; the others are left out.
  private static func embeddings(
    _ folder: AdapterFolder, _ model: any LanguageModel, _ prefix: String, modules: [String],
    _ rest: inout [String: Tensor]
  ) throws -> [(base: Parameter, value: Tensor)] {
    let description = model.description
    let word = description.wordEmbedding
    let heads =
      description.head == nil ? description.linears.filter { description.outputHeadPaths.contains($0.path) } : []
    var found: [(base: Parameter, value: Tensor)] = []
    let places = [(word.name, word)] + heads.map { ("\($0.path).weight", $0.weight) }
    let source = folder.weights()
    for (name, base) in places where !isSaved(String(name.dropLast(".weight".count)), modules) {
      guard let value = rest.removeValue(forKey: prefix + name) else { continue }
      let fitting = source.tensor(prefix + name, base.shape)
      guard value.shape == base.shape else { continue }
      if let known = found.first(where: { $0.base === base }) {
        guard known.value.hasSameBytes(as: value) else {
          throw MethodError.unsupported(
            path: folder.url.path, key: prefix + name,
            value: "another tensor than that of \(prefix)\(known.base.name), with which the base shares it,")
        }
      } else if !value.hasSameBytes(as: base.value) {
        found.append((base, fitting))
      }
    }
    try source.finish(tolerated: ["*"])
    return found
  }

  private static func isSaved(_ module: String, _ modules: [String]) -> Bool {
    let components = module.split(separator: ".")
    return components.indices.contains { end in
      let ancestor = components[...end].joined(separator: ".")
      return modules.contains { ancestor.hasSuffix($0) }
    }
  }
}
