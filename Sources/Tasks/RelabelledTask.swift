import Foundation

/// A task whose labels have other numbers: those by which a model or adapter was trained.
struct RelabelledTask: TextTask {
  private let base: any TextTask
  let labels: [String]

  init(_ base: any TextTask, labels: [String]) {
    (self.base, self.labels) = (base, labels)
  }

  var name: String { base.name }
  var metric: TaskMetric { base.metric }
  var forms: [ExampleForm] { base.forms }
  var options: TextOptions { base.options }
  var textColumns: [String] { base.textColumns }

  var metrics: TaskMetrics {
    guard case .labels(_, let matthews) = base.metrics else { return base.metrics }
    return .labels(labels, matthews: matthews)
  }

  func location(of split: DataSplit, in directory: URL) -> URL? { base.location(of: split, in: directory) }
  func columns(at location: URL) throws -> [String] { try base.columns(at: location) }
  func question(_ texts: [String], index: Int) -> Example { base.question(texts, index: index) }

  func examples(at location: URL) throws -> [Example] {
    let numbers = base.labels.map { labels.firstIndex(of: $0) }
    return try base.examples(at: location).map { example in
      Example(
        index: example.index, id: example.id, source: example.source, second: example.second, target: example.target,
        label: example.label.flatMap { numbers[$0] }, value: example.value, tail: example.tail,
        references: example.references, isPlainText: example.isPlainText)
    }
  }
}

extension TextTask {
  /// The task with its labels numbered as in `names`, which may be written in capitals; itself where they are, or where it
  /// has none.
  ///
  /// - Throws: `DataError.otherLabels` where the names are not those of the task.
  public func relabelled(_ names: [String], of owner: String = "the settings") throws -> any TextTask {
    guard !labels.isEmpty, !names.isEmpty, labels != names else { return self }
    let own = names.compactMap { name in labels.first { $0.lowercased() == name.lowercased() } }
    guard own.count == names.count, Set(own).count == labels.count else {
      throw DataError.otherLabels(task: name, labels: labels, owner: owner, names: names)
    }
    return own == labels ? self : RelabelledTask(self, labels: own)
  }
}
