import Foundation
import TensorCore

/// One array in NumPy's `.npy` format (`numpy.lib.format`), as google-research/prompt-tuning stores prompts.
///
/// Six bytes `\x93NUMPY`, version, length of the header (2 bytes little-endian in version 1, 4 from 2 on), a Python literal
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (20, 512), }`, the values row by row.
public enum NumpyFile {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// - Throws: `CheckpointError`: unreadable, or no little-endian array of 32- or 64-bit floating-point numbers.
  public static func read(_ url: URL) throws -> Tensor {
    let file = try MappedFile(url)
    return try file.withBytes { bytes in
      func wrong(_ found: String) -> CheckpointError {
        .wrongKind(
          path: url.path, expected: "a NumPy array of float32 or float64, row by row", found: found)
      }
      guard bytes.count >= 12, bytes.starts(with: magic) else { throw wrong("another kind of file") }
      let isLong = bytes[6] >= 2
      let start = isLong ? 12 : 10
      let length =
        isLong
        ? Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        : Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
      guard start + length <= bytes.count else { throw wrong("a header beyond the end of the file") }
      let header = String(decoding: bytes[start..<start + length], as: UTF8.self)
      guard let type = header.firstMatch(of: /'descr':\s*'([^']*)'/)?.1, type == "<f4" || type == "<f8",
        header.contains(/'fortran_order':\s*False/), let dimensions = header.firstMatch(of: /'shape':\s*\(([^)]*)\)/)?.1
      else { throw wrong("the header \(header.prefix(120))") }
      let words = dimensions.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter {
        !$0.isEmpty
      }
      let shape = words.compactMap { Int($0) }
      guard shape.count == words.count else { throw wrong("the shape (\(dimensions.prefix(80)))") }
      let size = type == "<f4" ? 4 : 8
      var count = 1
      for dimension in shape {
        guard dimension >= 0 else { throw wrong("the shape \(shape)") }
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        // More values than the file has bytes are too many, whatever they are.
        guard !overflow, product <= bytes.count else { throw wrong("the shape \(shape) in \(bytes.count) bytes") }
        count = product
      }
      guard bytes.count - start - length == count * size else {
        throw wrong("\(bytes.count - start - length) bytes of values for the shape \(shape)")
      }
      let result = Tensor(zeros: shape)
      for index in 0..<count {
        let offset = start + length + index * size
        result.pointer[index] =
          size == 4
          ? Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
          : Float(
            Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))))
      }
      return result
    }
  }

  /// Writes `tensor` as float32, byte for byte as `numpy.save` does.
  public static func write(_ tensor: Tensor, to url: URL) throws {
    let shape = tensor.shape.count == 1 ? "\(tensor.shape[0])," : tensor.shape.map(String.init).joined(separator: ", ")
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(shape)), }"
    // The values begin at a multiple of 64; the header ends in a line feed.
    header += String(repeating: " ", count: (64 - (10 + header.utf8.count + 1) % 64) % 64) + "\n"
    var bytes = magic + [1, 0]
    withUnsafeBytes(of: UInt16(header.utf8.count).littleEndian) { bytes += Array($0) }
    bytes += Array(header.utf8)
    bytes += Array(UnsafeRawBufferPointer(tensor.buffer))
    try AtomicFile.write(bytes, to: url)
  }
}
