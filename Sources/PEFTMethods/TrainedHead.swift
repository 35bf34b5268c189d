import Autograd
import Checkpoints
import NN
import TensorCore

/// A method on a classifier, with the classifier's head trained beside it, in a copy (HF PEFT `modules_to_save`).
///
/// PEFT does so for every method of task type SEQ_CLS. Its files name the copies `base_model.classifier.*` for prompts and
/// prefixes, `base_model.model.classifier.*` otherwise.
public final class TrainedHead: MergeableMethod {
  public let method: any PEFTMethod
  private let head: ClassifierHead
  /// Copies of the head's tensors.
  private let copies: [Parameter]
  /// Whether the files of the method have no place for a head, so that it goes beside them.
  private let isApart: Bool
  /// Sites of the method alone.
  private let siteCount: Int

  /// - Parameters:
  ///   - prefix: of the names of the copies in the method's files; nil if these have no place for a head.
  ///   - values: tensor for a name and shape; the base's if nil.
  init(
    _ method: any PEFTMethod, _ head: ClassifierHead, prefix: String?,
    values: (_ name: String, _ shape: [Int]) -> Tensor? = { _, _ in nil }
  ) {
    self.method = method
    self.head = head
    isApart = prefix == nil
    copies = head.parameters.map { base in
      let name = (prefix ?? "") + base.name
      return Parameter(name, values(name, base.shape) ?? base.value.copy())
    }
    siteCount = method.siteValues.count
  }

  // MARK: The method

  public var name: String { method.name }
  public var parameters: [Parameter] { method.parameters + copies }
  public var trainedParts: String? {
    [method.trainedParts, "the classifier's head"].compactMap(\.self).joined(separator: "; ")
  }
  public var learningRateFactors: [Double] { method.learningRateFactors + copies.map { _ in 1 } }
  public var virtualTokenCount: Int { method.virtualTokenCount }
  public var occupiedPositionCount: Int { method.occupiedPositionCount }

  public var substitutions: [(base: Parameter, site: Int)] {
    method.substitutions + head.parameters.enumerated().map { ($1, siteCount + $0) }
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
      throw MethodError.cannotMerge(method: name, reason: "the head it replaced is lost with the merge")
    }
    let heads = zip(head.parameters, copies).map { ($0.name, $1.value.copy()) }
    return try mergeable.mergedTensors(model, direction: direction).merging(heads) { $1 }
  }

  // MARK: Files

  public func adapterFiles(baseModelName: String) throws -> AdapterFiles {
    let files = try method.adapterFiles(baseModelName: baseModelName)
    let own = Dictionary(uniqueKeysWithValues: copies.map { ($0.name, $0.value) })
    guard !isApart, case .object(var members)? = files.config else {
      return AdapterFiles(
        config: files.config, tensors: files.tensors, trainingTensors: files.trainingTensors.merging(own) { $1 })
    }
    var saved: [JSON] = []
    if case .array(let own)? = members["modules_to_save"] { saved = own }
    members["modules_to_save"] = .array(saved + Self.modules.map { .string($0) })
    let training = files.trainingTensors.isEmpty ? [:] : files.trainingTensors.merging(own) { $1 }
    return AdapterFiles(
      config: .object(members), tensors: files.tensors.merging(own) { $1 }, trainingTensors: training)
  }

  /// The modules that PEFT takes for heads.
  static let modules = ["classifier", "score"]

  /// A folder without its head, and the head's tensors by name.
  static func split(_ folder: AdapterFolder, _ head: ClassifierHead, prefix: String?) throws -> (
    AdapterFolder, [String: Tensor]
  ) {
    let names = Set(head.parameters.map { (prefix ?? "") + $0.name })
    func isHead(_ name: String) -> Bool { names.contains(name) }
    let stored = (prefix == nil ? folder.trainingTensors : folder.tensors).filter { isHead($0.key) }
    var members = folder.config.members
    if let saved = try folder.config.optionalStrings("modules_to_save"), saved.allSatisfy(modules.contains) {
      members["modules_to_save"] = .null
    }
    let rest = AdapterFolder(
      url: folder.url, config: JSONObject(members, origin: folder.config.origin),
      tensors: folder.tensors.filter { !isHead($0.key) },
      trainingTensors: folder.trainingTensors.filter { !isHead($0.key) })
    return (rest, stored)
  }
}

extension AdapterFolder {
  /// Whether the weights of a classifier's head are in the files, under whatever prefix.
  func holds(_ head: ClassifierHead) -> Bool {
    let names = head.parameters.filter { $0.shape.count > 1 }.map(\.name)
    return (Array(tensors.keys) + trainingTensors.keys).contains { key in names.contains { key.hasSuffix($0) } }
  }
}
