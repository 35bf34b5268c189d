import Checkpoints
import Foundation
import TensorCore
import Testing

/// `.npy` files as NumPy writes them.
@Suite struct NumpyFileTests {
  /// `numpy.save` of `[[1, -2.5], [3, 4], [0, 0.125]]` as float32.
  private var saved: Data {
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0]
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
    bytes += Array(header.utf8) + Array(repeating: 32, count: 117 - header.utf8.count) + [10]
    for value in [1, -2.5, 3, 4, 0, 0.125] as [Float] {
      withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) }
    }
    return Data(bytes)
  }

  @Test func readsAndWritesNumPysBytes() throws {
    try withTemporaryFolder { folder in
      let (file, copy) = (folder.appending(path: "a.npy"), folder.appending(path: "b.npy"))
      try saved.write(to: file)
      let array = try NumpyFile.read(file)
      #expect(array.shape == [3, 2] && array.values == [1, -2.5, 3, 4, 0, 0.125])
      try NumpyFile.write(array, to: copy)
      #expect(try Data(contentsOf: copy) == saved)
    }
  }

  @Test(arguments: [
    "1073741824, 2147483647", "4294967296, 4294967296", "9223372036854775807, 2", "-1, -1", "2, x", "1 2",
  ])
  func shapesOutOfAllBoundsAreRefused(shape: String) throws {
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0]
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(shape)), }"
    bytes += Array(header.utf8) + Array(repeating: 32, count: 117 - header.utf8.count) + [10, 0, 0, 0, 0]
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "a.npy")
      try Data(bytes).write(to: file)
      #expect(throws: CheckpointError.self) { try NumpyFile.read(file) }
    }
  }

  @Test func doublesAreRounded() throws {
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [2, 0, 60, 0, 0, 0]
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"
    bytes += Array(header.utf8) + Array(repeating: 32, count: 59 - header.utf8.count) + [10]
    for value in [0.1, -7] as [Double] { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) } }
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "a.npy")
      try Data(bytes).write(to: file)
      #expect(try NumpyFile.read(file).values == [0.1, -7])
    }
  }

  @Test(
    arguments: [
      ("<f4", "<i4"), ("False", "True "), ("(3, 2)", "(3, 3)"), ("(3, 2)", "(9999999999, 9999999999)"),
      ("NUMPY", "NUMPI"),
    ])
  func anythingElseIsAnErrorWithThePath(old: String, new: String) throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "a.npy")
      let text = String(decoding: saved, as: Unicode.ASCII.self)
      var bytes = saved
      if let range = bytes.range(of: Data(old.utf8)) { bytes.replaceSubrange(range, with: Data(new.utf8)) }
      #expect(!text.isEmpty)
      try bytes.write(to: file)
      #expect("\(try checkpointError { try NumpyFile.read(file) })".contains(file.path))
      for count in [0, 5, 9, 11, 60, saved.count - 1] {
        try saved.prefix(count).write(to: file)
        #expect("\(try checkpointError { try NumpyFile.read(file) })".contains(file.path))
      }
    }
  }
}
