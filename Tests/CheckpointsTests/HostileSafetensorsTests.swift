import Checkpoints
import Foundation
import TensorCore
import Testing

/// A file that breaks the format, and the words its error must have.
struct HostileFile: CustomTestStringConvertible, Sendable {
  let name: String
  let bytes: [UInt8]
  /// The tensor that the message must name, if one can be blamed.
  let tensor: String?
  let words: String

  var testDescription: String { name }

  init(_ name: String, _ bytes: [UInt8], tensor: String? = nil, words: String) {
    self.name = name
    self.bytes = bytes
    self.tensor = tensor
    self.words = words
  }

  /// One tensor `w` with these three fields, over `dataByteCount` bytes of data.
  static func tensor(
    _ name: String, dtype: String = "\"F32\"", shape: String = "[2]", offsets: String = "[0,8]",
    dataByteCount: Int = 8, words: String
  ) -> HostileFile {
    let header = "{\"w\":{\"dtype\":\(dtype),\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
    let data = [UInt8](repeating: 1, count: dataByteCount)
    return HostileFile(name, safetensors(header, data: data), tensor: "w", words: words)
  }

  /// Two tensors `a` and `b` of one float each, over `dataByteCount` bytes of data.
  static func pair(
    _ name: String, a: String, b: String, dataByteCount: Int, tensor: String?, words: String
  ) -> HostileFile {
    let header = """
      {"a":{"dtype":"F32","shape":[1],"data_offsets":\(a)},"b":{"dtype":"F32","shape":[1],"data_offsets":\(b)}}
      """
    let data = [UInt8](repeating: 1, count: dataByteCount)
    return HostileFile(name, safetensors(header, data: data), tensor: tensor, words: words)
  }
}

private let one = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"
private let eight = [UInt8](repeating: 1, count: 8)

private let wholeFiles: [HostileFile] = [
  .init("empty file", [], words: "0 bytes"),
  .init("seven bytes", [1, 0, 0, 0, 0, 0, 0], words: "7 bytes"),
  .init("header beyond the file", safetensors(one, data: eight, length: 5000), words: "header of 5000 bytes"),
  .init("header of 2^63 bytes", safetensors(one, length: 1 << 63), words: "header of 9223372036854775808"),
  .init("header of 2^64-1 bytes", safetensors(one, length: .max), words: "the limit is 104857600"),
  .init("header one beyond the limit", safetensors(one, length: (100 << 20) + 1), words: "the limit is"),
  .init("header of no bytes", safetensors(""), words: "does not begin with '{'"),
  .init("cut header", safetensors(String(one.dropLast(5)), data: eight), words: "expected"),
  .init("cut data", safetensors(one, data: Array(eight.dropLast())), tensor: "w", words: "the file has 7"),
  .init("data behind the last tensor", safetensors(one, data: eight + [0]), words: "1 bytes at the end"),
  .init("data without any tensor", safetensors("{}", data: eight), words: "8 bytes at the end"),
  .init("not UTF-8", safetensors([0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x3A, 0x31, 0x7D]), words: "UTF-8"),
  .init("not JSON", safetensors("{this is no JSON}"), words: "expected a key"),
  .init("array instead of object", safetensors("[1,2]"), words: "does not begin with '{'"),
  .init("text after the header", safetensors(one + "x", data: eight), words: "after the end"),
  .init(
    "deep nesting", safetensors("{\"w\":" + String(repeating: "[", count: 100_000)),
    words: "more than 128 levels"),
  .init(
    "one name twice", safetensors("{\"w\":{},\"w\":{}}"), words: "the key 'w' occurs twice"),
  .init("metadata of numbers", safetensors("{\"__metadata__\":{\"a\":1}}"), words: "map strings to strings"),
  .init("metadata as array", safetensors("{\"__metadata__\":[]}"), words: "map strings to strings"),
  .init("pickle", Array("PK\u{3}\u{4}archive/data.pkl-----------".utf8), words: "header of"),
]

private let brokenTensors: [HostileFile] = [
  .init("number as tensor", safetensors("{\"w\":7}"), tensor: "w", words: "found 7"),
  .init("null as tensor", safetensors("{\"w\":null}"), tensor: "w", words: "found null"),
  .tensor("unknown dtype", dtype: "\"F4\"", words: "dtype 'F4' is not supported"),
  .tensor("number as dtype", dtype: "4", words: "dtype must be a string"),
  .tensor("negative dimension", shape: "[-2]", words: "found [-2]"),
  .tensor("two negative dimensions", shape: "[-1,-2]", words: "integers from 0 on"),
  .tensor("fraction as dimension", shape: "[2.0]", words: "integers from 0 on"),
  .tensor("string as dimension", shape: "[\"2\"]", words: "integers from 0 on"),
  .tensor("number as shape", shape: "2", words: "shape must be an array"),
  .tensor("dimension beyond 64 bits", shape: "[99999999999999999999]", words: "integers from 0 on"),
  .tensor("shape that overflows", shape: "[4294967296,4294967296]", words: "more bytes than can be counted"),
  .tensor(
    "shape that overflows to 8", shape: "[4611686018427387906]", words: "more bytes than can be counted"),
  .tensor(
    "overflow times zero", shape: "[9223372036854775807,4,0]", offsets: "[0,0]", dataByteCount: 0,
    words: "more bytes than can be counted"),
  .tensor("one offset", offsets: "[0]", words: "two integers"),
  .tensor("three offsets", offsets: "[0,8,8]", words: "two integers"),
  .tensor("negative offset", offsets: "[-8,0]", words: "two integers"),
  .tensor("begin after end", offsets: "[8,0]", words: "data begins at 8, after its end at 0"),
  .tensor(
    "end beyond the file", offsets: "[8,16]", words: "data ends at byte 16 of the data, the file has 8"),
  .tensor(
    "end at 2^63-1", offsets: "[0,9223372036854775807]", words: "data ends at byte 9223372036854775807"),
  .tensor("span too short", offsets: "[0,4]", words: "takes 8 bytes, data_offsets span 4"),
  .tensor("span too long", shape: "[1]", words: "takes 4 bytes, data_offsets span 8"),
  .pair(
    "overlap", a: "[0,4]", b: "[2,6]", dataByteCount: 6, tensor: "b", words: "overlaps that of tensor 'a'"),
  .pair("same bytes twice", a: "[0,4]", b: "[0,4]", dataByteCount: 4, tensor: "b", words: "overlaps"),
  .pair("gap", a: "[0,4]", b: "[8,12]", dataByteCount: 12, tensor: "b", words: "4 bytes before its data"),
  .pair("gap at the start", a: "[4,8]", b: "[8,12]", dataByteCount: 12, tensor: "a", words: "4 bytes before"),
]

@Suite("Hostile safetensors files")
struct HostileSafetensorsTests {
  @Test("one clear error that names the file, and the tensor", arguments: wholeFiles + brokenTensors)
  func refused(_ hostile: HostileFile) throws {
    try withTemporaryFolder { folder in
      let url = try hostile.bytes.write("hostile.safetensors", in: folder)
      let error = try checkpointError { try SafetensorsFile(url) }
      #expect("\(error)".contains(url.path))
      #expect("\(error)".contains(hostile.words), "\(error)")
      #expect(error.localizedDescription == "\(error)")
      if let tensor = hostile.tensor { #expect("\(error)".contains("tensor '\(tensor)'")) }
    }
  }

  @Test func theSameHeaderUnbrokenIsAccepted() throws {
    try withTemporaryFolder { folder in
      let file = try SafetensorsFile(try safetensors(one, data: eight).write("good.safetensors", in: folder))
      #expect(file.names == ["w"])
      #expect(file.info("w")?.shape == [2])
    }
  }

  @Test func folderInsteadOfFile() throws {
    try withTemporaryFolder { folder in
      let error = try checkpointError { try SafetensorsFile(folder) }
      #expect(error == .wrongKind(path: folder.path, expected: "a file", found: "a folder"))
    }
  }

  @Test func deviceInsteadOfFile() throws {
    let error = try checkpointError { try SafetensorsFile(URL(fileURLWithPath: "/dev/zero")) }
    #expect(error == .wrongKind(path: "/dev/zero", expected: "a file", found: "a device or socket"))
  }

  @Test func fileThatIsNotThere() throws {
    let error = try checkpointError { try SafetensorsFile(URL(fileURLWithPath: "/nowhere/w.safetensors")) }
    #expect(error == .system(action: "open", path: "/nowhere/w.safetensors", code: ENOENT))
    #expect("\(error)" == "cannot open /nowhere/w.safetensors: No such file or directory (errno 2)")
  }

  @Test(.disabled(if: getuid() == 0, "root may read everything"))
  func unreadableFile() throws {
    try withTemporaryFolder { folder in
      let url = try safetensors(one, data: eight).write("secret.safetensors", in: folder)
      chmod(url.path, 0)
      let error = try checkpointError { try SafetensorsFile(url) }
      #expect(error == .system(action: "open", path: url.path, code: EACCES))
    }
  }

  /// Every mutation is either refused with a `CheckpointError` or leaves a file whose tensors can be read.
  @Test func randomMutationsOfTheHeaderNeverCrash() throws {
    let golden = goldens.appendingPathComponent("cases/prompt_t5_v10/inputs.safetensors")
    let original = try [UInt8](Data(contentsOf: golden))
    var generator = SplitMix64(state: 42)
    var refused = 0
    try withTemporaryFolder { folder in
      for round in 0..<2000 {
        let bytes = Self.mutated(original, using: &generator)
        let url = try bytes.write("mutation.safetensors", in: folder)
        do {
          let file = try SafetensorsFile(url)
          for name in file.names {
            let elements = try #require(file.info(name)).shape.reduce(1, *)
            let isReal = try #require(file.info(name)).type.isFloatingPoint
            let count = try isReal ? file.tensor(name).values.count : file.integers(name).count
            #expect(count == elements, "round \(round)")
          }
        } catch is CheckpointError {
          refused += 1
        }
      }
    }
    #expect(refused > 1000, "\(refused) of 2000 mutations were refused")
  }

  /// Changes, removes, inserts or repeats up to four pieces of the first 300 bytes.
  private static func mutated(_ bytes: [UInt8], using generator: inout SplitMix64) -> [UInt8] {
    var result = bytes
    let pieces = [
      "\"", "{", "}", "[", "]", ",", ":", "-", "9", "0", "\\u0000", "F16", "BOOL", "1e9", "null", "\u{FF}",
    ]
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      let place = Int.random(in: 0..<min(300, result.count), using: &generator)
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: result[place] = UInt8.random(in: 0...255, using: &generator)
      case 1: result.remove(at: place)
      case 2: result.insert(contentsOf: (pieces.randomElement(using: &generator) ?? "").utf8, at: place)
      default: result.replaceSubrange(place..<min(place + 3, result.count), with: Array("999".utf8))
      }
    }
    return result
  }
}
