import Checkpoints
import Foundation
import TensorCore
import Testing

/// `Tests/Goldens`, found from this file.
let goldens = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .appendingPathComponent("Goldens")

/// Runs `body` with a fresh folder, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("peft-dist-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}

/// The bytes of a safetensors file with this header and these data; `length` overrides the announced header length.
func safetensors(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  safetensors(Array(header.utf8), data: data, length: length)
}

func safetensors(_ header: [UInt8], data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let length = length ?? UInt64(header.count)
  return withUnsafeBytes(of: length.littleEndian, Array.init) + header + data
}

extension [UInt8] {
  func write(_ name: String, in folder: URL) throws -> URL {
    let url = folder.appendingPathComponent(name)
    try Data(self).write(to: url)
    return url
  }
}

extension String {
  @discardableResult
  func write(_ name: String, in folder: URL) throws -> URL { try Array(utf8).write(name, in: folder) }
}

/// The `CheckpointError` that `body` throws; anything else fails the test.
func checkpointError<Result>(
  _ body: () throws -> Result, sourceLocation: SourceLocation = #_sourceLocation
) throws -> CheckpointError {
  try #require(throws: CheckpointError.self, sourceLocation: sourceLocation) { _ = try body() }
}

/// A repeatable stream of numbers (SplitMix64, Steele et al. 2014) for fuzzing.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
