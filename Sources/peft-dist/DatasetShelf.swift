import Tasks

/// Data sets that were read before, by name.
@MainActor
final class DatasetShelf {
  private var datasets: [String: EncodedDataset] = [:]

  func dataset(named name: String, _ read: () throws -> EncodedDataset) rethrows -> EncodedDataset {
    if let known = datasets[name] { return known }
    let dataset = try read()
    datasets[name] = dataset
    return dataset
  }
}
