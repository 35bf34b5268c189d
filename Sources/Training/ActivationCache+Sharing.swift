import Collectives
import Diagnostics
import Foundation

/// How large an activation cache may be.
public enum ActivationCacheLimit: Sendable, Equatable {
  case off
  /// Half of the free memory, and half of the free room of its folder, at most.
  case automatic
  case bytes(Int)

  /// `off`, `auto`, or a size such as 4GB, 512MiB; nil for other words.
  public init?(_ text: String) {
    switch text.lowercased() {
    case "off": self = .off
    case "auto": self = .automatic
    case let size:
      let units = [
        "kib": 1024, "mib": 1024 * 1024, "gib": 1024 * 1024 * 1024, "tib": 1024 * 1024 * 1024 * 1024, "kb": 1000,
        "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
      ]
      guard let unit = units.first(where: { size.hasSuffix($0.key) }),
        let number = Double(size.dropLast(unit.key.count)), number > 0, number * Double(unit.value) < 1e18
      else { return nil }
      self = .bytes(Int(number * Double(unit.value)))
    }
  }

  /// In bytes; nil if it is off.
  func byteCount(folder: URL) -> Int? {
    switch self {
    case .off: nil
    case .bytes(let count): count
    case .automatic: min(FreeRoom.memory(), FreeRoom.disk(folder)) / 2
    }
  }
}

extension ActivationCache {
  /// A cache on every node, each as large as its limit allows there; nil on nodes that have none.
  ///
  /// The first rank of a node makes the file and all of its ranks map it; then it loses its name, so that it is gone with
  /// the job, however that ends.
  ///
  /// - Parameter examples: index in the data set and number of rows of each, in data-set order.
  /// - Throws: `ActivationCacheError` where the room asked for cannot be had; with the automatic limit that is a warning.
  @MainActor
  public static func onEachNode(
    examples: [(index: Int, rows: Int)], width: Int, precision: StatePrecision, limit: ActivationCacheLimit,
    folder: URL, world: World?
  ) throws -> ActivationCache? {
    PhaseBoard.enter("making room for the activation cache")
    var offer = Offer()
    if world?.localRank ?? 0 == 0 {
      try PhaseBoard.waiting {
        offer = try Offer(examples, width: width, precision: precision, limit: limit, folder: folder)
      }
    }
    let leaders = try world?.nodeLeaders() ?? [0]
    let rank = world?.rank ?? 0
    if let world { offer = Offer(text: try world.gatherAtAll(offer.text)[leaders[rank]]) }
    defer { if rank == leaders[rank], offer.byteCount > 0 { unlink(offer.path) } }
    guard offer.byteCount > 0 else {
      try world?.barrier()
      return nil
    }
    let plan = ActivationCachePlan(examples: examples, width: width, precision: precision, limit: offer.byteCount)
    let memory = try SharedMemory(URL(fileURLWithPath: offer.path), byteCount: plan.byteCount)
    try world?.barrier()
    return ActivationCache(plan, memory: memory, isOnNode: leaders.map { $0 == leaders[rank] })
  }

  /// What the first rank of a node tells the others.
  private struct Offer {
    /// 0 for no cache.
    var byteCount = 0
    var path = ""

    init() {}

    init(
      _ examples: [(index: Int, rows: Int)], width: Int, precision: StatePrecision, limit: ActivationCacheLimit,
      folder: URL
    ) throws {
      guard let most = limit.byteCount(folder: folder) else { return }
      let plan = ActivationCachePlan(examples: examples, width: width, precision: precision, limit: most)
      guard plan.exampleCount > 0 else { return }
      do {
        path = try SharedMemory.makeFile(in: folder, byteCount: plan.byteCount).path
        byteCount = plan.byteCount
      } catch let error as ActivationCacheError where limit == .automatic {
        RunLog.warning("\(error); going on without it")
      }
    }

    var text: String { "\(byteCount) \(path)" }

    init(text: String) {
      let parts = text.split(separator: " ", maxSplits: 1)
      byteCount = parts.first.flatMap { Int($0) } ?? 0
      path = parts.count > 1 ? String(parts[1]) : ""
    }
  }
}

/// Room that nobody uses, in bytes.
enum FreeRoom {
  /// Of the file system of `folder`, or of the nearest folder above it that exists.
  static func disk(_ folder: URL) -> Int {
    var status = statvfs()
    var place = folder.standardizedFileURL
    while statvfs(place.path, &status) != 0 {
      guard place.path != "/" else { return 0 }
      place = place.deletingLastPathComponent()
    }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  /// Memory the system can give without swapping.
  static func memory() -> Int {
    let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    let kilobytes = line?.split(separator: " ").compactMap { Int($0) }.first
    return (kilobytes ?? 0) * 1024
  }
}
