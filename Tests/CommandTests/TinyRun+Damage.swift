import Checkpoints
import Foundation
import TensorCore

/// Ways to spoil what a run reads.
extension TinyRun {
  struct NoSuchText: Error {
    let text: String
  }

  func remove(_ path: String) throws { try FileManager.default.removeItem(at: file(path)) }

  func edit(_ path: String, _ change: (inout Data) throws -> Void) throws {
    var bytes = try Data(contentsOf: file(path))
    try change(&bytes)
    try bytes.write(to: file(path))
  }

  /// - Throws: `NoSuchText` if `text` is not there.
  func replace(_ text: String, by other: String, in path: String) throws {
    let old = try String(contentsOf: file(path), encoding: .utf8)
    guard old.contains(text) else { throw NoSuchText(text: text) }
    try Data(old.replacing(text, with: other).utf8).write(to: file(path))
  }

  /// Replaces a line, counted from 1.
  func replaceLine(_ number: Int, of path: String, by text: String) throws {
    var lines = try String(contentsOf: file(path), encoding: .utf8).components(separatedBy: "\n")
    lines[number - 1] = text
    try Data(lines.joined(separator: "\n").utf8).write(to: file(path))
  }

  /// Replaces weights of the model by ones of `value` in the given shapes; nil takes a weight out.
  func replaceWeights(_ shapes: [String: [Int]?], with value: Float = 0.1) throws {
    var tensors = try Self.weights().filter { !shapes.keys.contains($0.0) }
    for case (let name, let shape?) in shapes {
      let tensor = Tensor(zeros: shape)
      tensor.fill(value)
      tensors.append((name, tensor))
    }
    try SafetensorsWriter.write(tensors: tensors, to: file("model/model.safetensors"))
  }

  /// Changes what the header of the weights says about a tensor.
  func editHeader(_ name: String, type: String? = nil, range: Range<Int>? = nil) throws {
    try edit("model/model.safetensors") { bytes in
      let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      guard
        case .object(var entries) = try JSON.decode(Array(bytes[8..<8 + length]), origin: "header"),
        case .object(var entry)? = entries[name]
      else { throw NoSuchText(text: name) }
      if let type { entry["dtype"] = .string(type) }
      if let range { entry["data_offsets"] = [.integer(range.lowerBound), .integer(range.upperBound)] }
      entries[name] = .object(entry)
      var header = Array(JSON.object(entries).encoded(.compact).utf8)
      header += Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
      let size = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
      bytes.replaceSubrange(0..<8 + length, with: size + Data(header))
    }
  }
}
