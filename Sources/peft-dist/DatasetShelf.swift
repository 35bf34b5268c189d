import Foundation
import Tasks

/// Data sets that were read before, by name, and digests of data by path.
@MainActor
final class DatasetShelf {
  private var datasets: [String: EncodedDataset] = [:]

  private var digests: [String: String] = [:]

  func digest(of location: URL) throws -> String {
    if let known = digests[location.path] { return known }
    let digest = try DataDigest.sha256(of: location)
    digests[location.path] = digest
    return digest
  }

  func dataset(named name: String, _ read: () throws -> EncodedDataset) rethrows -> EncodedDataset {
    if let known = datasets[name] { return known }
    let dataset = try read()
    datasets[name] = dataset
    return dataset
  }
}
