import CKernels
import Foundation
import TensorCore

/// Writes safetensors files, byte for byte as Hugging Face's library does (for names in ASCII).
///
/// Order of the data: larger elements first, then by name. The header is padded with spaces so that the data
/// begin at a multiple of 8 bytes. The same tensors always give the same bytes.
public enum SafetensorsWriter {
  /// A tensor of 64-bit integers.
  public struct Integers: Sendable {
    public let name: String
    public let shape: [Int]
    public let values: [Int64]

    public init(_ name: String, shape: [Int], values: [Int64]) {
      precondition(values.count == shape.reduce(1, *), "\(name): \(values.count) values for shape \(shape)")
      self.name = name
      self.shape = shape
      self.values = values
    }
  }

  /// The metadata Hugging Face writes; transformers refuses some files without it.
  public static let defaultMetadata = ["format": "pt"]

  /// Writes `tensors` as F32, or BF16, and `integers` as I64 to `url`, replacing what is there, in one atomic step.
  ///
  /// Names must be unique; that is the caller's duty.
  /// - Parameter type: F32, or BF16, to which values are rounded.
  /// - Returns: size and SHA-256 of the file.
  /// - Throws: `CheckpointError.system` naming the path.
  @discardableResult
  public static func write(
    tensors: [(String, Tensor)], as type: SafetensorsType = .f32, integers: [Integers] = [],
    metadata: [String: String] = defaultMetadata, to url: URL
  ) throws -> FileDigest {
    let items = ordered(tensors, as: type, integers)
    return try AtomicFile.write(to: url) { sink in try write(items, metadata, to: &sink) }
  }

  /// As `write`, into a folder that nobody sees yet.
  static func writeInPlace(tensors: [(String, Tensor)], to url: URL) throws -> FileDigest {
    let items = ordered(tensors, as: .f32, [])
    return try AtomicFile.writeInPlace(to: url) { sink in try write(items, defaultMetadata, to: &sink) }
  }

  private enum Content {
    case tensor(Tensor)
    case integers([Int64])
  }

  private struct Item {
    let name: String
    let type: SafetensorsType
    let shape: [Int]
    let content: Content

    var byteCount: Int { shape.reduce(type.byteCount, *) }
  }

  private static func ordered(
    _ tensors: [(String, Tensor)], as type: SafetensorsType, _ integers: [Integers]
  ) -> [Item] {
    precondition(type == .f32 || type == .bf16, "tensors are written as F32 or BF16, not as \(type.rawValue)")
    var items = tensors.map { Item(name: $0.0, type: type, shape: $0.1.shape, content: .tensor($0.1)) }
    items += integers.map {
      Item(name: $0.name, type: .i64, shape: $0.shape, content: .integers($0.values))
    }
    let names = Set(items.map(\.name))
    precondition(names.count == items.count, "a safetensors file cannot hold two tensors of one name")
    precondition(!names.contains(SafetensorsHeader.metadataKey), "'__metadata__' is no name for a tensor")
    return items.sorted { left, right in
      left.type.byteCount == right.type.byteCount
        ? left.name.precedesByCodePoint(right.name) : left.type.byteCount > right.type.byteCount
    }
  }

  private static func write(_ items: [Item], _ metadata: [String: String], to sink: inout FileSink) throws {
    try sink.write(header(items, metadata))
    for item in items {
      switch item.content {
      case .tensor(let tensor) where item.type == .bf16: try halves(tensor).withUnsafeBytes { try sink.write($0) }
      case .tensor(let tensor): try sink.write(UnsafeRawBufferPointer(tensor.buffer))
      case .integers(let values): try values.withUnsafeBytes { try sink.write($0) }
      }
    }
  }

  /// The elements in bfloat16, rounded to the nearest, halves to even.
  private static func halves(_ tensor: Tensor) -> [UInt16] {
    [UInt16](unsafeUninitializedCapacity: tensor.count) { target, count in
      if let start = target.baseAddress { k_float_to_bf16(tensor.pointer, start, tensor.count) }
      count = tensor.count
    }
  }

  /// Length and JSON text. The members stand in the order of the data, which `JSON` cannot express.
  private static func header(_ items: [Item], _ metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let text = JSON.object(metadata.mapValues(JSON.string)).encoded(.compact)
      members.append("\"\(SafetensorsHeader.metadataKey)\":\(text)")
    }
    var offset = 0
    for item in items {
      let end = offset + item.byteCount
      let shape = JSON.array(item.shape.map(JSON.integer)).encoded(.compact)
      members.append(
        "\(JSON.string(item.name).encoded()):"
          + "{\"dtype\":\"\(item.type.rawValue)\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
  }
}
