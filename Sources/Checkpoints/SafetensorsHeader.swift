/// The kinds of element a safetensors file may hold, and this program knows; those of the last lines may lie in a file, but are
/// not read.
public enum SafetensorsType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u8 = "U8"
  case bool = "BOOL"
  case u16 = "U16"
  case u32 = "U32"
  case u64 = "U64"
  case f8e4m3 = "F8_E4M3"
  case f8e5m2 = "F8_E5M2"
  case f8e8m0 = "F8_E8M0"
  case c64 = "C64"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool, .f8e4m3, .f8e5m2, .f8e8m0: 1
    }
  }

  /// Whether the elements are numbers with a fraction that can be read.
  public var isFloatingPoint: Bool { [.f64, .f32, .f16, .bf16].contains(self) }
}

/// The head of a safetensors file, checked from end to end.
///
/// The file is 8 bytes `n` (little-endian), `n` bytes of JSON, then the data without gaps:
/// `{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"format":
/// "pt"}}`, offsets in bytes from the start of the data.
///
/// Source: the safetensors format description, https://github.com/huggingface/safetensors.
struct SafetensorsHeader {
  struct Entry: Sendable {
    let type: SafetensorsType
    let shape: [Int]
    /// Bytes of the tensor, counted from the start of the file.
    let bytes: Range<Int>
  }

  static let maximumByteCount = 100 << 20
  static let metadataKey = "__metadata__"

  let path: String
  /// Position of the first data byte in the file.
  let dataStart: Int
  private(set) var entries: [String: Entry] = [:]
  private(set) var metadata: [String: String] = [:]

  /// - Parameter file: all bytes of the file.
  /// - Throws: `CheckpointError.malformedFile`, `.malformedJSON` and `.badTensor`.
  init(file: UnsafeRawBufferPointer, path: String) throws {
    self.path = path
    let length = try Self.headerByteCount(file, path: path)
    dataStart = 8 + length
    let text = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
    guard text.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") else {
      throw CheckpointError.malformedFile(path: path, reason: "the header does not begin with '{'")
    }
    guard case .object(let members) = try JSON.decode(text, origin: "\(path) (header)") else {
      throw CheckpointError.malformedFile(path: path, reason: "the header is no JSON object")
    }
    for (name, member) in members.sorted(by: { $0.key.precedesByCodePoint($1.key) }) {
      if name == Self.metadataKey {
        guard member != .null else { continue }
        metadata = try metadata(member)
      } else {
        entries[name] = try entry(name, member, dataByteCount: file.count - dataStart)
      }
    }
    try checkCoverage(fileByteCount: file.count)
  }

  private static func headerByteCount(_ file: UnsafeRawBufferPointer, path: String) throws -> Int {
    func failure(_ reason: String) -> CheckpointError { .malformedFile(path: path, reason: reason) }
    guard file.count >= 8 else {
      throw failure("\(file.count) bytes, shorter than the 8 of the header's length")
    }
    let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(maximumByteCount) else {
      throw failure("a header of \(length) bytes is announced, the limit is \(maximumByteCount)")
    }
    guard length <= UInt64(file.count - 8) else {
      throw failure("a header of \(length) bytes is announced in a file of \(file.count) bytes")
    }
    return Int(length)
  }

  private func metadata(_ value: JSON) throws -> [String: String] {
    func failure(_ found: JSON) -> CheckpointError {
      .malformedFile(
        path: path, reason: "\(Self.metadataKey) must map strings to strings, found \(found.summary)")
    }
    guard case .object(let members) = value else { throw failure(value) }
    return try members.dictionary.mapValues { member in
      guard case .string(let text) = member else { throw failure(member) }
      return text
    }
  }

  /// One tensor; keys other than the three of the format are ignored, as the reference implementation does.
  private func entry(_ name: String, _ value: JSON, dataByteCount: Int) throws -> Entry {
    func failure(_ reason: String) -> CheckpointError { .badTensor(path: path, tensor: name, reason: reason) }
    guard case .object(let members) = value else {
      throw failure("expected an object with dtype, shape and data_offsets, found \(value.summary)")
    }
    guard case .string(let typeName) = members["dtype"] else { throw failure("dtype must be a string") }
    guard let type = SafetensorsType(rawValue: typeName) else {
      let known = SafetensorsType.allCases.map(\.rawValue).joined(separator: " ")
      throw failure("dtype '\(typeName.prefix(40))' is not supported, known are \(known)")
    }
    guard let shape = Self.sizes(members["shape"]) else {
      let found = members["shape"]?.encoded(.compact).prefix(80) ?? "nothing"
      throw failure("shape must be an array of integers from 0 on, found \(found)")
    }
    guard let offsets = Self.sizes(members["data_offsets"]), offsets.count == 2 else {
      throw failure("data_offsets must be two integers from 0 on")
    }
    guard offsets[0] <= offsets[1] else {
      throw failure("data begins at \(offsets[0]), after its end at \(offsets[1])")
    }
    guard offsets[1] <= dataByteCount else {
      throw failure("data ends at byte \(offsets[1]) of the data, the file has \(dataByteCount)")
    }
    guard let expected = Self.byteCount(shape, type), expected == offsets[1] - offsets[0] else {
      let needed = Self.byteCount(shape, type).map { "\($0) bytes" } ?? "more bytes than can be counted"
      throw failure("\(typeName) \(shape) takes \(needed), data_offsets span \(offsets[1] - offsets[0])")
    }
    return Entry(type: type, shape: shape, bytes: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  private static func sizes(_ value: JSON?) -> [Int]? {
    guard case .array(let elements) = value else { return nil }
    var sizes: [Int] = []
    for element in elements {
      guard case .integer(let size) = element, size >= 0 else { return nil }
      sizes.append(size)
    }
    return sizes
  }

  /// Bytes of a tensor, nil if they exceed 63 bits. A zero among the dimensions does not excuse an overflow
  /// of the others.
  static func byteCount(_ shape: [Int], _ type: SafetensorsType) -> Int? {
    var total = type.byteCount
    var hasZero = false
    for size in shape where size != 1 {
      if size == 0 {
        hasZero = true
        continue
      }
      let (product, overflow) = total.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      total = product
    }
    return hasZero ? 0 : total
  }

  /// Every data byte belongs to exactly one tensor.
  private func checkCoverage(fileByteCount: Int) throws {
    var end = dataStart
    var before = ""
    let inOrder = entries.sorted { left, right in
      let (a, b) = (left.value.bytes, right.value.bytes)
      return (a.lowerBound, a.upperBound) < (b.lowerBound, b.upperBound)
    }
    for (name, entry) in inOrder {
      let start = entry.bytes.lowerBound
      if start < end {
        throw CheckpointError.badTensor(
          path: path, tensor: name, reason: "its data overlaps that of tensor '\(before)'")
      }
      if start > end {
        throw CheckpointError.badTensor(
          path: path, tensor: name,
          reason: "\(start - end) bytes before its data belong to no tensor")
      }
      end = entry.bytes.upperBound
      before = name
    }
    guard end == fileByteCount else {
      throw CheckpointError.malformedFile(
        path: path, reason: "\(fileByteCount - end) bytes at the end belong to no tensor")
    }
  }
}
