import CKernels
import Diagnostics
import Foundation
import TensorCore

/// An open safetensors file: its header checked, its tensors read when asked for.
///
/// fp32 tensors are views of the mapped file, shared by all processes of a node. **Such a tensor must never
/// be written**: its pages are read-only and a write ends the process; `copy()` it first.
public struct SafetensorsFile: Sendable {
  public let path: String
  private let file: MappedFile
  private let entries: [String: SafetensorsHeader.Entry]
  /// All names, by code point.
  public let names: [String]
  /// The strings under `__metadata__`, for instance `format`: `pt`.
  public let metadata: [String: String]

  /// - Throws: `CheckpointError`: unreadable, or anything in the header that breaks the format.
  public init(_ url: URL) throws {
    file = try MappedFile(url)
    path = file.path
    guard !GitLFSPointer.isPointer(file.bytes) else {
      throw CheckpointError.wrongKind(path: path, expected: "a safetensors file", found: GitLFSPointer.reason)
    }
    let header = try SafetensorsHeader(file: file.bytes, path: path)
    entries = header.entries
    metadata = header.metadata
    names = entries.keys.sorted { $0.precedesByCodePoint($1) }
  }

  /// All bytes of the file.
  var bytes: UnsafeRawBufferPointer { file.bytes }

  public func contains(_ name: String) -> Bool { entries[name] != nil }

  /// Kind of element and shape of a tensor, nil if the file has none of this name.
  public func info(_ name: String) -> (type: SafetensorsType, shape: [Int])? {
    entries[name].map { ($0.type, $0.shape) }
  }

  /// A tensor in fp32: a read-only view of the file where it is stored so and aligned, a copy otherwise.
  ///
  /// BF16 and F16 are widened exactly, F64 is rounded to nearest.
  /// - Throws: `CheckpointError.badTensor`: no such name, or integers.
  public func tensor(_ name: String) throws -> Tensor {
    let entry = try entry(name)
    guard entry.type.isFloatingPoint else {
      throw CheckpointError.badTensor(
        path: path, tensor: name, reason: "expected floating-point numbers, found \(entry.type.rawValue)")
    }
    let source = UnsafeRawBufferPointer(rebasing: file.bytes[entry.bytes])
    return view(source, entry) ?? converted(source, entry)
  }

  /// The elements of a tensor of integers or truth values (0 and 1), row-major.
  /// - Throws: `CheckpointError.badTensor`: no such name, or floating-point numbers.
  public func integers(_ name: String) throws -> [Int64] {
    let entry = try entry(name)
    let source = UnsafeRawBufferPointer(rebasing: file.bytes[entry.bytes])
    switch entry.type {
    case .i64: return source.elements(Int64.self) { Int64(littleEndian: $0) }
    case .i32: return source.elements(Int32.self) { Int64(Int32(littleEndian: $0)) }
    case .i16: return source.elements(Int16.self) { Int64(Int16(littleEndian: $0)) }
    case .i8: return source.elements(Int8.self) { Int64($0) }
    case .u8: return source.elements(UInt8.self) { Int64($0) }
    case .bool: return source.elements(UInt8.self) { $0 == 0 ? 0 : 1 }
    case .f64, .f32, .f16, .bf16, .u16, .u32, .u64, .f8e4m3, .f8e5m2, .f8e8m0, .c64:
      throw CheckpointError.badTensor(
        path: path, tensor: name, reason: "expected integers, found \(entry.type.rawValue)")
    }
  }

  private func entry(_ name: String) throws -> SafetensorsHeader.Entry {
    guard let entry = entries[name] else {
      throw CheckpointError.badTensor(path: path, tensor: name, reason: "the file has no tensor of this name")
    }
    return entry
  }

  /// The elements where they lie; the storage keeps the mapping alive.
  private func view(_ source: UnsafeRawBufferPointer, _ entry: SafetensorsHeader.Entry) -> Tensor? {
    guard entry.type == .f32, !source.isEmpty, let address = source.baseAddress,
      UInt(bitPattern: address) % UInt(MemoryLayout<Float>.alignment) == 0
    else { return nil }
    let count = source.count / MemoryLayout<Float>.stride
    let pointer = UnsafeMutableRawPointer(mutating: address).bindMemory(to: Float.self, capacity: count)
    let storage = Storage(pointer: pointer, count: count) { [file] _ in withExtendedLifetime(file) {} }
    return Tensor(storage: storage, shape: entry.shape)
  }

  private func converted(_ source: UnsafeRawBufferPointer, _ entry: SafetensorsHeader.Entry) -> Tensor {
    let result = Tensor(zeros: entry.shape)
    guard let address = source.baseAddress, result.count > 0 else { return result }
    switch entry.type {
    case .bf16: k_bf16_to_float(address.assumingMemoryBound(to: UInt16.self), result.pointer, result.count)
    case .f16: k_fp16_to_float(address.assumingMemoryBound(to: UInt16.self), result.pointer, result.count)
    case .f64:
      for index in 0..<result.count {
        result.pointer[index] = Float(source.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
      }
    default: UnsafeMutableRawPointer(result.pointer).copyMemory(from: address, byteCount: source.count)
    }
    return result
  }
}

extension UnsafeRawBufferPointer {
  /// All elements of type `Element` one behind another, of any alignment.
  fileprivate func elements<Element: BitwiseCopyable>(
    _ type: Element.Type, _ transform: (Element) -> Int64
  ) -> [Int64] {
    let stride = MemoryLayout<Element>.stride
    return (0..<count / stride).map { transform(loadUnaligned(fromByteOffset: $0 * stride, as: type)) }
  }
}
