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

  /// In bytes.
  func byteCount(folder: URL) -> Int {
    switch self {
    case .off: 0
    case .bytes(let count): count
    case .automatic: min(FreeRoom.memory(), FreeRoom.disk(folder)) / 2
    }
  }
}

extension ActivationCache {
  /// What the run would have.
  public struct Request {
    /// Index in the data set and number of rows of each example that is seen again, in data-set order.
    public var examples: [(index: Int, rows: Int)]
    public var limit: ActivationCacheLimit
    /// Most examples and rows of a step, for those that are not kept; 0 where nobody could help with them.
    public var stepExamples = 0
    public var stepRows = 0
    /// Values of a row.
    public var width: Int
    public var precision: StatePrecision
    public var folder: URL

    public init(
      examples: [(index: Int, rows: Int)], limit: ActivationCacheLimit, width: Int, precision: StatePrecision,
      folder: URL
    ) {
      self.examples = examples
      self.limit = limit
      self.width = width
      self.precision = precision
      self.folder = folder
    }

    /// With at most `limit` bytes of kept states.
    func plan(limit: Int) -> ActivationCachePlan {
      ActivationCachePlan(
        examples: examples, width: width, precision: precision, limit: limit,
        step: .init(examples: stepExamples, rows: stepRows))
    }
  }

  /// Room on every node, as much as there may be; nil on nodes that have none.
  ///
  /// The first rank of a node makes the file and all of its ranks map it; then it loses its name, so that it is gone with
  /// the job, however that ends.
  ///
  /// - Throws: `ActivationCacheError` where the room asked for cannot be had; with the automatic limit that is a warning.
  @MainActor
  public static func onEachNode(_ request: Request, world: World?) throws -> ActivationCache? {
    PhaseBoard.enter("making room for the activation cache")
    var offer = Offer()
    if world?.localRank ?? 0 == 0 { try PhaseBoard.waiting { offer = try Offer(request) } }
    let leaders = try world?.nodeLeaders() ?? [0]
    let rank = world?.rank ?? 0
    if let world { offer = Offer(text: try world.gatherAtAll(offer.text)[leaders[rank]]) }
    defer { if rank == leaders[rank], !offer.path.isEmpty { unlink(offer.path) } }
    var cache: ActivationCache?
    if !offer.path.isEmpty {
      let plan = request.plan(limit: offer.keptByteCount)
      cache = ActivationCache(
        plan, memory: try SharedMemory(URL(fileURLWithPath: offer.path), byteCount: plan.byteCount),
        isOnNode: leaders.map { $0 == leaders[rank] })
    }
    try world?.barrier()
    return cache
  }

  /// What the first rank of a node tells the others.
  private struct Offer {
    var keptByteCount = 0
    /// Of the file; empty for no room at all.
    var path = ""

    init() {}

    init(_ request: Request) throws {
      let plan = request.plan(limit: request.limit.byteCount(folder: request.folder))
      guard plan.byteCount > 0 else { return }
      do {
        path = try SharedMemory.makeFile(in: request.folder, byteCount: plan.byteCount).path
        keptByteCount = plan.keptByteCount
      } catch let error as ActivationCacheError {
        if case .bytes = request.limit { throw error }
        RunLog.warning("\(error); going on without it")
      }
    }

    var text: String { "\(keptByteCount) \(path)" }

    init(text: String) {
      let parts = text.split(separator: " ", maxSplits: 1)
      keptByteCount = parts.first.flatMap { Int($0) } ?? 0
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
