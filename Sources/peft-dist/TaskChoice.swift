import ArgumentParser
import Checkpoints
import Foundation
import Models
import NN
import Tasks

/// A task as the model in a folder does it, and what it wants of the model's head.
struct TaskChoice {
  let folder: ModelFolder
  let task: any TextTask
  let head: HeadRequest

  /// - Parameters:
  ///   - location: the data that is trained on, from which a task takes what it leaves open.
  ///   - adapter: an adapter that names the labels of its head.
  ///   - settings: what the training of adapter or model did to its texts.
  ///   - takesModelLabels: whether a head that the checkpoint has is used as it is, its `id2label` naming the labels.
  ///   - template: of a prompt; nil for that of `adapter`, if it has one.
  ///   - replacesHead: whether a head for another number of labels gives way to a new one; it does to that of `adapter`.
  ///   - seed: of a head that the checkpoint lacks.
  init(
    _ flags: DataFlags, model: String, adapter: String?, settings: TaskSettings? = nil, takesModelLabels: Bool = false,
    template: String? = nil,
    replacesHead: Bool = false, seed: UInt64,
    location: (any TextTask) throws -> URL
  ) throws {
    folder = try ModelFolder(URL(fileURLWithPath: model))
    let form = ExampleForm(try ModelCatalogue.kind(of: folder))
    let known =
      try adapter.flatMap { try LabelNamesFile.read(URL(fileURLWithPath: $0)) }
      ?? settings.flatMap { $0.labels.isEmpty ? nil : $0.labels } ?? (takesModelLabels ? Self.labels(of: folder) : nil)
    let template = try template ?? adapter.flatMap(Self.template)
    let named = try TaskCatalogue.task(
      named: flags.requireTask(),
      options: flags.textOptions(
        form, labels: known, keepsTextsApart: template?.contains("{sentence1}") == true))
    var resolved = try named.resolved(with: location(named))
    // Data say their labels by the numbers of the task, a trained head by its own.
    if form == .classification, let known, flags.labelNames == nil {
      resolved = try resolved.relabelled(known, of: adapter ?? model)
    } else if let known, let given = flags.labelNames, !resolved.labels.isEmpty, resolved.labels != known {
      throw ValidationError(
        "--label-names \(given): \(adapter ?? model) was trained on \(known.joined(separator: ",")); leave --label-names out"
      )
    }
    task = resolved
    guard form == .classification else {
      head = HeadRequest(seed: seed)
      return
    }
    guard task.metrics != .tokens else {
      head = HeadRequest(seed: seed, namesMaskedTokens: true)
      return
    }
    let isRegression = task.metrics == .regression
    head = HeadRequest(
      labels: isRegression ? ["value"] : task.labels, problem: isRegression ? .regression : .singleLabel, seed: seed,
      replacesOtherSize: replacesHead || adapter != nil)
  }

  /// The names in a model's configuration; nil for those that HF gives where nobody gave any.
  private static func labels(of model: ModelFolder) throws -> [String]? {
    let names = try BERTConfiguration.labels(model.config)
    return names.flatMap { $0 == $0.indices.map { "LABEL_\($0)" } ? nil : $0 }
  }

  /// The template in an adapter's configuration, or in that of one of several in a folder.
  private static func template(of adapter: String) throws -> String? {
    let url = URL(fileURLWithPath: adapter)
    for folder in [url] + AdapterFolder.parts(of: url) {
      let config = folder.appendingPathComponent("adapter_config.json")
      guard FileManager.default.fileExists(atPath: config.path) else { continue }
      if let template = try JSONObject(file: config).optionalString("prompt_template") { return template }
    }
    return nil
  }
}

extension ExampleForm {
  /// What a kind of model does with examples.
  init(_ kind: ModelKind) {
    self =
      switch kind {
      case .encoderDecoder: .textToText
      case .decoder: .continuation
      case .classifier, .maskedTokens: .classification
      }
  }
}
