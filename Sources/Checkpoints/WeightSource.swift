import Foundation
import TensorCore

/// The weights of a model by name, and the record of what was asked for.
///
/// A model asks for each weight with the shape it needs. A lookup that fails is noted and answered with
/// zeros, so that `finish` can report everything that is wrong at once. Call `finish` before the weights are
/// used.
///
/// Not thread-safe: one model is built from it, on one thread.
public final class WeightSource {
  /// Folder or file, for messages.
  public let origin: String
  private let entries: [String: Entry]
  private var used: Set<String> = []
  private var problems = WeightProblems()
  private var zeros: Storage?

  private struct Entry {
    let type: SafetensorsType
    let shape: [Int]
    let read: () throws -> Tensor
  }

  /// Weights in files; `files` maps each name to the file that holds it, `name` that name to the one it is looked up by.
  init(files: [String: SafetensorsFile], origin: String, name known: (String) -> String = { $0 }) {
    self.origin = origin
    var entries: [String: Entry] = [:]
    for (name, file) in files {
      guard let info = file.info(name) else { continue }
      entries[known(name)] = Entry(type: info.type, shape: info.shape) { try file.tensor(name) }
    }
    self.entries = entries
  }

  /// Weights in memory, for instance those of an adapter.
  public init(tensors: [String: Tensor], origin: String) {
    self.origin = origin
    entries = tensors.mapValues { tensor in Entry(type: .f32, shape: tensor.shape) { tensor } }
  }

  /// All names, by code point.
  public var names: [String] { entries.keys.sorted { $0.precedesByCodePoint($1) } }

  /// Every weight by name. Integers, such as the buffers of positions that old checkpoints hold, are no weights.
  ///
  /// - Throws: `CheckpointError`.
  public func all() throws -> [String: Tensor] {
    try entries.filter(\.value.type.isFloatingPoint).mapValues { try $0.read() }
  }

  /// The weights whose names begin with `path` and a dot; all of them for the empty path.
  public func scope(_ path: String = "") -> WeightScope { WeightScope(source: self, path: path) }

  /// As `WeightScope.tensor` at the root.
  public func tensor(_ name: String, _ shape: [Int], aliases: [String] = []) -> Tensor {
    scope().tensor(name, shape, aliases: aliases)
  }

  /// As `WeightScope.optionalTensor` at the root.
  public func optionalTensor(_ name: String, _ shape: [Int]) -> Tensor? {
    scope().optionalTensor(name, shape)
  }

  /// Ends the loading.
  ///
  /// - Parameter tolerated: names that may be there unused: a full name, or a pattern with one `*` that
  ///   stands for any text, such as `*.attn.bias` or `lm_head.*`.
  /// - Throws: one `CheckpointError.unfitWeights` that lists all missing, mismatched and surplus weights.
  public func finish(tolerated: [String] = []) throws {
    var problems = problems
    problems.surplus = names.filter { name in
      !used.contains(name) && !tolerated.contains { Self.matches(name, pattern: $0) }
    }
    if !problems.isEmpty { throw CheckpointError.unfitWeights(source: origin, problems: problems) }
  }

  static func matches(_ name: String, pattern: String) -> Bool {
    guard let star = pattern.firstIndex(of: "*") else { return name == pattern }
    let (head, tail) = (pattern[..<star], pattern[pattern.index(after: star)...])
    return name.utf8.count >= head.utf8.count + tail.utf8.count && name.hasPrefix(head)
      && name.hasSuffix(tail)
  }

  // MARK: What scopes ask for

  func info(_ name: String) -> [Int]? { entries[name]?.shape }

  func markUsed(_ name: String) { used.insert(name) }

  /// The weight under the first of `names` that is there; the others count as used.
  func tensor(_ names: [String], shape: [Int]) -> Tensor {
    used.formUnion(names)
    guard let name = names.first(where: { entries[$0] != nil }), let entry = entries[name] else {
      problems.missing.append(names.joined(separator: " or "))
      return placeholder(shape)
    }
    guard entry.shape == shape, entry.type.isFloatingPoint else {
      let expected = entry.type.isFloatingPoint ? "\(shape)" : "\(shape) of floating-point numbers"
      noteMismatch(name, expected: expected, found: "\(entry.shape) of \(entry.type.rawValue)")
      return placeholder(shape)
    }
    do {
      return try entry.read()
    } catch {
      noteMismatch(name, expected: "\(shape)", found: "\(error)")
      return placeholder(shape)
    }
  }

  private func noteMismatch(_ name: String, expected: String, found: String) {
    problems.mismatched.append(.init(name: name, expected: expected, found: found))
  }

  /// Read-only zeros that cost address space and no memory, whatever sizes a damaged configuration asks for.
  /// Beyond what can be addressed, an empty tensor with the same number of dimensions.
  private func placeholder(_ shape: [Int]) -> Tensor {
    guard let byteCount = SafetensorsHeader.byteCount(shape, .f32), byteCount > 0 else {
      return Tensor(zeros: shape.map { _ in 0 })
    }
    let count = byteCount / MemoryLayout<Float>.stride
    if let zeros, zeros.count >= count { return Tensor(storage: zeros, shape: shape) }
    let address = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else { return Tensor(zeros: shape.map { _ in 0 }) }
    let pointer = address.bindMemory(to: Float.self, capacity: count)
    let storage = Storage(pointer: pointer, count: count) { _ = munmap($0, byteCount) }
    zeros = storage
    return Tensor(storage: storage, shape: shape)
  }
}

/// The weights below one path, so that the nesting of a model's code is that of the names in its checkpoint.
///
/// ```swift
/// let attention = weights.scope("encoder").scope("block.0").scope("layer.0.SelfAttention")
/// let query = attention.tensor("q.weight", [inner, modelWidth])
/// ```
public struct WeightScope {
  private let source: WeightSource
  /// The names so far, joined by dots; empty at the root.
  public let path: String

  init(source: WeightSource, path: String) {
    self.source = source
    self.path = path
  }

  public func scope(_ path: String) -> WeightScope { WeightScope(source: source, path: name(path)) }

  /// The full name of `name` in this scope.
  public func name(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  public func contains(_ name: String) -> Bool { source.info(self.name(name)) != nil }

  /// The shape in the checkpoint, nil if it has no such weight. Does not count as use.
  public func shape(_ name: String) -> [Int]? { source.info(self.name(name)) }

  /// The weight `name`, of shape `shape`; zeros where it is missing, misshapen or of integers, which `finish`
  /// reports.
  ///
  /// The tensor may be a view of a file: it must not be written.
  /// - Parameter aliases: full names under which checkpoints store the same weight, alone or once more. The
  ///   first name that is there gives the values, the others are not looked at.
  public func tensor(_ name: String, _ shape: [Int], aliases: [String] = []) -> Tensor {
    source.tensor([self.name(name)] + aliases, shape: shape)
  }

  /// As `tensor`, or nil where the checkpoint has no such weight.
  public func optionalTensor(_ name: String, _ shape: [Int]) -> Tensor? {
    contains(name) ? tensor(name, shape) : nil
  }

  /// Counts `name` as known without reading it.
  public func ignore(_ name: String) { source.markUsed(self.name(name)) }
}
