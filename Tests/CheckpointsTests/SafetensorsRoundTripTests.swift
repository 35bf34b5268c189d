import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite("Safetensors: reading and writing")
struct SafetensorsRoundTripTests {
  private let tensors: [(String, Tensor)] = [
    ("z", Tensor([Float](arrayLiteral: 1, -0.0, .infinity, .leastNonzeroMagnitude, -3.5, 6), shape: [2, 3])),
    ("a.weight", Tensor([Float(7)], shape: [])),
    ("empty", Tensor([Float](), shape: [0, 5])),
  ]
  private let integers = [
    SafetensorsWriter.Integers("ids", shape: [3], values: [.min, -100, .max])
  ]

  @Test func whatIsWrittenIsReadBack() throws {
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("t.safetensors")
      let digest = try SafetensorsWriter.write(tensors: tensors, integers: integers, to: url)
      let file = try SafetensorsFile(url)
      #expect(file.names == ["a.weight", "empty", "ids", "z"])
      #expect(file.metadata == ["format": "pt"])
      for (name, tensor) in tensors {
        let read = try file.tensor(name)
        #expect(read.shape == tensor.shape)
        #expect(read.values.map(\.bitPattern) == tensor.values.map(\.bitPattern))
      }
      #expect(try file.integers("ids") == integers[0].values)
      #expect(file.info("ids")?.type == .i64)
      #expect(try digest.sha256 == sha256(of: url))
      #expect(try digest.byteCount == Data(contentsOf: url).count)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["t.safetensors"])
    }
  }

  @Test func headerIsOrderedAndAligned() throws {
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("t.safetensors")
      try SafetensorsWriter.write(
        tensors: tensors, integers: integers, metadata: ["b": "\"", "a": ""], to: url)
      let bytes = try [UInt8](Data(contentsOf: url))
      let expected = """
        {"__metadata__":{"a":"","b":"\\""},"ids":{"dtype":"I64","shape":[3],"data_offsets":[0,24]},\
        "a.weight":{"dtype":"F32","shape":[],"data_offsets":[24,28]},\
        "empty":{"dtype":"F32","shape":[0,5],"data_offsets":[28,28]},\
        "z":{"dtype":"F32","shape":[2,3],"data_offsets":[28,52]}}
        """
      let length = Int(bytes[0]) + Int(bytes[1]) << 8
      let header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
      #expect(header.trimmingCharacters(in: .whitespaces) == expected)
      #expect(length % 8 == 0 && length - expected.utf8.count < 8)
      #expect(bytes.count == 8 + length + 52)
    }
  }

  /// The golden files were written by Hugging Face's library.
  @Test(arguments: [
    "cases/lora_qv_t5_v10/adapter_init/adapter_model", "cases/lora_qv_t5_v10/inputs", "models/t5_v10/model",
  ])
  func sameBytesAsHuggingFace(_ path: String) throws {
    let golden = goldens.appendingPathComponent(path + ".safetensors")
    try withTemporaryFolder { folder in
      let file = try SafetensorsFile(golden)
      var tensors: [(String, Tensor)] = []
      var integers: [SafetensorsWriter.Integers] = []
      for name in file.names.reversed() {
        let info = try #require(file.info(name))
        if info.type == .f32 {
          tensors.append((name, try file.tensor(name)))
        } else {
          integers.append(.init(name, shape: info.shape, values: try file.integers(name)))
        }
      }
      let url = folder.appendingPathComponent("copy.safetensors")
      try SafetensorsWriter.write(tensors: tensors, integers: integers, to: url)
      #expect(try Data(contentsOf: url) == Data(contentsOf: golden))
    }
  }

  @Test func aTensorOutlivesItsFile() throws {
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("t.safetensors")
      try SafetensorsWriter.write(tensors: tensors, to: url)
      let tensor = try SafetensorsFile(url).tensor("z")
      try FileManager.default.removeItem(at: url)
      #expect(tensor.values == tensors[0].1.values)
    }
  }

  /// Two opens of one file give two mappings; one file gives views of one mapping.
  @Test func alignedTensorsAreViewsAndOthersCopies() throws {
    try withTemporaryFolder { folder in
      for padding in 0..<4 {
        let header = """
          {"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}\(String(repeating: " ", count: padding))
          """
        let data = withUnsafeBytes(of: (Float(1.5), Float(-2)), Array.init)
        let url = try safetensors(header, data: data).write("\(padding).safetensors", in: folder)
        let file = try SafetensorsFile(url)
        let (first, second) = (try file.tensor("w"), try file.tensor("w"))
        #expect(first.values == [1.5, -2])
        #expect((first.pointer == second.pointer) == ((8 + header.utf8.count) % 4 == 0))
      }
    }
  }

  @Test func bfloat16IsWidenedExactly() throws {
    let expected = (0...UInt16.max).map { UInt32($0) << 16 }
    try checkWidening("BF16", expected)
  }

  @Test func float16IsWidenedExactly() throws {
    let expected = (0...UInt16.max).map { Self.widened(half: $0) }
    try checkWidening("F16", expected)
  }

  /// Bits of the fp32 number equal to a half-precision one: 1 sign, 5 exponent, 10 fraction bits (IEEE 754).
  private static func widened(half bits: UInt16) -> UInt32 {
    let exponent = Int(bits >> 10 & 31)
    let fraction = Double(bits & 1023) / 1024
    let sign: Double = bits >> 15 == 0 ? 1 : -1
    switch exponent {
    case 0: return Float(sign * fraction * 0x1p-14).bitPattern
    case 31: return (fraction == 0 ? Float(sign) * .infinity : .nan).bitPattern
    default:
      return Float(sign * (1 + fraction) * Double(sign: .plus, exponent: exponent - 15, significand: 1))
        .bitPattern
    }
  }

  /// All 65,536 values, at an odd address too; a NaN stays one, whatever its other bits.
  private func checkWidening(_ type: String, _ expected: [UInt32]) throws {
    let data = (0...UInt16.max).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    try withTemporaryFolder { folder in
      for padding in 0..<2 {
        let header = """
          {"w":{"dtype":"\(type)","shape":[256,256],"data_offsets":[0,131072]}}\(String(repeating: " ", count: padding))
          """
        let url = try safetensors(header, data: data).write("w.safetensors", in: folder)
        let tensor = try SafetensorsFile(url).tensor("w")
        #expect(tensor.shape == [256, 256])
        let wrong = zip(tensor.values, expected).enumerated().filter { _, pair in
          let want = Float(bitPattern: pair.1)
          return want.isNaN ? !pair.0.isNaN : pair.0.bitPattern != pair.1
        }
        #expect(wrong.isEmpty, "\(wrong.count) values differ, the first is \(wrong.first?.offset ?? -1)")
      }
    }
  }

  @Test func otherTypes() throws {
    func bytes<Value>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value, Array.init) }
    let header = """
      {"d":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"i32":{"dtype":"I32","shape":[2],"data_offsets":[16,24]},\
      "i16":{"dtype":"I16","shape":[1],"data_offsets":[24,26]},"i8":{"dtype":"I8","shape":[1],"data_offsets":[26,27]},\
      "u8":{"dtype":"U8","shape":[1],"data_offsets":[27,28]},"b":{"dtype":"BOOL","shape":[3],"data_offsets":[28,31]}}
      """
    let data =
      bytes((0.1, -1e300)) + bytes((Int32.min, Int32(5))) + bytes(Int16(-7)) + bytes(Int8(-8)) + [
        250, 0, 1, 2,
      ]
    try withTemporaryFolder { folder in
      let file = try SafetensorsFile(try safetensors(header, data: data).write("w.safetensors", in: folder))
      #expect(try file.tensor("d").values == [0.1, -.infinity])
      #expect(try file.integers("i32") == [Int64(Int32.min), 5])
      #expect(try file.integers("i16") == [-7])
      #expect(try file.integers("i8") == [-8])
      #expect(try file.integers("u8") == [250])
      #expect(try file.integers("b") == [0, 1, 1])
    }
  }

  @Test func kindsAreNotMixedUp() throws {
    let file = try SafetensorsFile(goldens.appendingPathComponent("cases/prompt_t5_v10/inputs.safetensors"))
    #expect(
      "\(try checkpointError { try file.tensor("labels") })".contains("'labels': expected floating-point"))
    #expect("\(try checkpointError { try file.tensor("absent") })".contains("no tensor of this name"))
    let model = try SafetensorsFile(goldens.appendingPathComponent("models/t5_v10/model.safetensors"))
    #expect(
      "\(try checkpointError { try model.integers("shared.weight") })".contains(
        "expected integers, found F32"))
  }
}
