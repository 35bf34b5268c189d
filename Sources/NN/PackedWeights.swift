import Autograd
import Diagnostics
import Foundation
import TensorCore

/// The frozen projections of a model packed for bfloat16 products, once for both directions, shared by the ranks of a node.
///
/// The packed bytes lie in a file that every rank maps, so that a node holds one copy. It is named by the digest of all it
/// depends on; whoever comes first writes it under a lock while the others wait.
public final class PackedWeights: Sendable {
  private let projections: [ObjectIdentifier: PackedProjection]

  /// The packed form of a projection's weight, nil if it is not among those packed.
  public func projection(_ weight: Parameter) -> PackedProjection? { projections[ObjectIdentifier(weight)] }

  /// Maps the packed weights of `linears`, made first if need be.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  /// Throws: `PackingError`.
  public init(_ linears: [Linear], identity: String, directory: URL) throws {
    let jobs = Self.jobs(linears)
    let total = jobs.reduce(0) { $0 + $1.room }
    let folder = directory.appendingPathComponent("packed")
    let file = folder.appendingPathComponent("\(identity.prefix(32))-\(Self.layoutName)-\(total).bf16")
    let mapping: Mapping
    if let found = try Mapping(file, byteCount: total) {
      mapping = found
    } else {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      mapping = try Self.make(jobs, total: total, file: file)
    }
    var projections: [ObjectIdentifier: PackedProjection] = [:]
    var offset = 0
    for linear in linears where projections[ObjectIdentifier(linear.weight)] == nil {
      let (inputs, outputs) = (linear.inputSize, linear.outputSize)
      let forward = try PackedMatrix(packed: mapping.base + offset, k: inputs, n: outputs, owner: mapping)
      offset += Self.room(inputs, outputs)
      let backward = try PackedMatrix(packed: mapping.base + offset, k: outputs, n: inputs, owner: mapping)
      offset += Self.room(outputs, inputs)
      projections[ObjectIdentifier(linear.weight)] = PackedProjection(forward: forward, backward: backward)
    }
    self.projections = projections
  }

  private struct Job {
    let weight: Tensor
    let transposed: Bool
    let k: Int
    let n: Int
    var room: Int { PackedWeights.room(k, n) }
  }

  /// Page-aligned room of one packed operand.
  private static func room(_ k: Int, _ n: Int) -> Int { (PackedMatrix.byteCount(k: k, n: n) + 4095) / 4096 * 4096 }

  private static func jobs(_ linears: [Linear]) -> [Job] {
    var seen: Set<ObjectIdentifier> = []
    return linears.flatMap { linear -> [Job] in
      guard seen.insert(ObjectIdentifier(linear.weight)).inserted else { return [] }
      let isOutputByInput = linear.layout == .outputByInput
      return [
        Job(weight: linear.weight.value, transposed: isOutputByInput, k: linear.inputSize, n: linear.outputSize),
        Job(weight: linear.weight.value, transposed: !isOutputByInput, k: linear.outputSize, n: linear.inputSize),
      ]
    }
  }

  /// What decides the packed bytes beside the weights: library and CPU.
  private static var layoutName: String { MatrixBackend.packedLayoutName }

  private static func make(_ jobs: [Job], total: Int, file: URL) throws -> Mapping {
    let lock = open(file.path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw PackingError.unusableCache(path: file.path, reason: String(cString: strerror(errno))) }
    defer { close(lock) }
    PhaseBoard.waiting { while flock(lock, LOCK_EX) != 0 && errno == EINTR {} }
    if let found = try Mapping(file, byteCount: total) { return found }
    let temporary = file.path + ".partial-\(getpid())"
    let descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    func failure() -> PackingError {
      .unusableCache(path: temporary, reason: String(cString: strerror(errno)))
    }
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    var isDone = false
    defer { if !isDone { unlink(temporary) } }
    // Room first: a full disk must be an error here, not a signal while packing.
    let allocated = posix_fallocate(descriptor, 0, off_t(total))
    guard allocated == 0 else {
      throw PackingError.unusableCache(path: temporary, reason: String(cString: strerror(allocated)))
    }
    let memory = mmap(nil, total, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else { throw failure() }
    defer { munmap(memory, total) }
    var offset = 0
    for job in jobs {
      try PackedMatrix.pack(job.weight, transposed: job.transposed, k: job.k, n: job.n, into: memory + offset)
      offset += job.room
      PhaseBoard.tick()
    }
    guard msync(memory, total, MS_SYNC) == 0, fsync(descriptor) == 0, rename(temporary, file.path) == 0 else {
      throw failure()
    }
    isDone = true
    guard let mapping = try Mapping(file, byteCount: total) else { throw failure() }
    return mapping
  }
}

/// A whole file, mapped read-only.
///
/// Safety of `@unchecked Sendable`: the pages are never written.
private final class Mapping: @unchecked Sendable {
  let base: UnsafeRawPointer
  private let byteCount: Int

  /// Nil if there is no such file of this size.
  init?(_ url: URL, byteCount: Int) throws {
    let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size == byteCount, byteCount > 0 else { return nil }
    guard let memory = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0), memory != MAP_FAILED else {
      throw PackingError.unusableCache(path: url.path, reason: String(cString: strerror(errno)))
    }
    base = UnsafeRawPointer(memory)
    self.byteCount = byteCount
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
}
