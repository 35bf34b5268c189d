import Checkpoints
import Collectives
import Foundation

/// What all ranks of a job must have alike: files that they read, each on its own host, and settings.
///
/// A stale copy on one host would train along without a word, and give another result in every layout.
@MainActor
public enum RankAgreement {
  /// The digest that `read` gives of what lies at `location`, the same for all ranks; read once for each host and path.
  ///
  /// - Parameter what: such as "the data", for the message.
  /// - Throws: what `read` throws; `TrainingError.ranksDiffer` on every rank, naming rank, host, path and digest.
  public static func digest(of what: String, at location: URL, over world: World?, read: () throws -> String) throws
    -> String
  {
    guard let world, world.size > 1 else { return try read() }
    let places = try world.gatherAtAll("\(world.hostName)\0\(location.path)")
    let own = places.firstIndex(of: places[world.rank]) == world.rank ? try read() : ""
    let all = try world.gatherAtAll([own, world.hostName, location.path].joined(separator: "\0"))
    let found = all.map { $0.split(separator: "\0", omittingEmptySubsequences: false).map(String.init) }
    let readers = found.indices.filter { found[$0].first?.isEmpty == false }
    guard let first = readers.first, Set(readers.map { found[$0][0] }).count > 1 else {
      return readers.first.map { found[$0][0] } ?? own
    }
    let others = readers.filter { found[$0][0] != found[first][0] }
    throw TrainingError.ranksDiffer(
      what: what,
      values: ([first] + others).map { "rank \($0) on \(found[$0][1]): \(found[$0][2]), sha256 \(found[$0][0])" },
      remedy: "Copy what rank \(first) has to the other hosts, or name one folder that all of them see")
  }

  /// Compares settings, by key, with those of rank 0.
  ///
  /// - Throws: `TrainingError.ranksDiffer` on every rank, naming key, ranks, hosts and values.
  public static func check(_ settings: [(key: String, value: String)], over world: World?) throws {
    guard let world, world.size > 1 else { return }
    let own = settings.map { "\($0.key)\u{1}\($0.value)" }.joined(separator: "\0")
    let all = try world.gatherAtAll(own)
    let hosts = try world.gatherAtAll(world.hostName)
    guard Set(all).count > 1 else { return }
    let values = all.map { text in
      Dictionary(
        text.split(separator: "\0").map {
          $0.split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
        }
        .map { ($0[0], $0.count > 1 ? $0[1] : "") }, uniquingKeysWith: { $1 })
    }
    let keys = Set(values.flatMap(\.keys)).sorted().filter { key in Set(values.map { $0[key] ?? "not set" }).count > 1 }
    throw TrainingError.ranksDiffer(
      what: "their settings",
      values: keys.flatMap { key in
        values.indices.filter { $0 == 0 || values[$0][key] != values[0][key] }.map {
          "\(key): \(values[$0][key] ?? "not set") on rank \($0) (\(hosts[$0]))"
        }
      }, remedy: "Start all ranks with the same options, and with the same copy of the file of --config")
  }
}
