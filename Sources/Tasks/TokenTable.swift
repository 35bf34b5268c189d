import Foundation
import Tokenization

/// A whole data set as token ids in one block of bytes, which may be a mapped file.
///
/// Layout, little endian, every part a multiple of 4 bytes:
///
///     header       64 bytes, see `Header`
///     starts       (2 · count + 1) × UInt64: source i is starts[2i] ..< starts[2i + 1], then target i
///     uncut        count × Int32: tokens of each source before it was cut
///     seconds      count × Int32: where the second text of a pair begins in each source
///     uncutTargets count × Int32: tokens of each target before it was cut
///     tokens       tokenCount × Int32
struct TokenTable: Sendable {
  private let bytes: Data
  let count: Int
  private let tokenCount: Int

  /// Of the layout and of how data becomes texts: a change of either makes tables anew.
  static let formatVersion = 4
  private static let magic: UInt64 = 0x3130_4b4f_5444_4650  // "PFDTOK01"
  private static let headerSize = 64

  /// Why a block of bytes is no token table of the wanted key.
  enum Defect: Error, Equatable {
    case tooShort, notATable, otherKey, wrongSize, checksum, disorder
  }

  /// Opens a table.
  ///
  /// - Throws: `Defect` when it is truncated, damaged, or made from other data.
  init(bytes: Data, key: ContentKey) throws {
    guard bytes.count >= Self.headerSize else { throw Defect.tooShort }
    let header = Header(bytes)
    guard header.magic == Self.magic, header.version == UInt64(Self.formatVersion) else {
      throw Defect.notATable
    }
    guard header.key == key.value else { throw Defect.otherKey }
    guard header.count <= 1 << 40, header.tokenCount <= 1 << 40,
      bytes.count == Self.size(count: Int(header.count), tokenCount: Int(header.tokenCount))
    else { throw Defect.wrongSize }
    guard Self.checksum(of: bytes.dropFirst(Self.headerSize)) == header.checksum else {
      throw Defect.checksum
    }
    self.bytes = bytes
    count = Int(header.count)
    tokenCount = Int(header.tokenCount)
    var last = 0
    for item in 0...(2 * count) {
      let start = self.start(item)
      guard start >= last, start <= tokenCount else { throw Defect.disorder }
      last = start
    }
    guard start(0) == 0, last == tokenCount else { throw Defect.disorder }
  }

  /// The bytes of a table that holds `examples`, whose indices must be 0, 1, 2, …
  static func serialize(_ examples: [EncodedExample], key: ContentKey) -> Data {
    var starts: [UInt64] = [0]
    var uncut: [Int32] = []
    var seconds: [Int32] = []
    var uncutTargets: [Int32] = []
    var tokens: [Int32] = []
    for (place, example) in examples.enumerated() {
      precondition(example.index == place, "example \(example.index) at place \(place)")
      tokens += example.source
      starts.append(UInt64(tokens.count))
      tokens += example.target
      starts.append(UInt64(tokens.count))
      uncut.append(Int32(clamping: example.uncutSourceLength))
      seconds.append(Int32(clamping: example.secondStart))
      uncutTargets.append(Int32(clamping: example.uncutTargetLength))
    }
    var payload = Data(capacity: size(count: examples.count, tokenCount: tokens.count))
    starts.withUnsafeBytes { payload.append(contentsOf: $0) }
    uncut.withUnsafeBytes { payload.append(contentsOf: $0) }
    seconds.withUnsafeBytes { payload.append(contentsOf: $0) }
    uncutTargets.withUnsafeBytes { payload.append(contentsOf: $0) }
    tokens.withUnsafeBytes { payload.append(contentsOf: $0) }
    let header = Header(
      magic: magic, version: UInt64(formatVersion), key: key.value, count: UInt64(examples.count),
      tokenCount: UInt64(tokens.count), checksum: checksum(of: payload))
    return header.bytes + payload
  }

  func example(_ index: Int) -> EncodedExample {
    precondition((0..<count).contains(index), "example \(index) of \(count)")
    let (source, target, end) = (start(2 * index), start(2 * index + 1), start(2 * index + 2))
    return EncodedExample(
      index: index, source: tokens(source..<target), target: tokens(target..<end),
      uncutSourceLength: uncutSourceLength(index), uncutTargetLength: uncutTargetLength(index),
      secondStart: secondStart(index))
  }

  func sourceLength(_ index: Int) -> Int { start(2 * index + 1) - start(2 * index) }
  func targetLength(_ index: Int) -> Int { start(2 * index + 2) - start(2 * index + 1) }

  func uncutSourceLength(_ index: Int) -> Int { number(index, ofList: 0) }
  private func secondStart(_ index: Int) -> Int { number(index, ofList: 1) }
  func uncutTargetLength(_ index: Int) -> Int { number(index, ofList: 2) }

  /// Of the lists that have a number for each example.
  private func number(_ index: Int, ofList list: Int) -> Int {
    Int(load(Int32.self, at: Self.headerSize + 8 * (2 * count + 1) + 4 * (list * count + index)))
  }

  private func start(_ item: Int) -> Int { Int(clamping: load(UInt64.self, at: Self.headerSize + 8 * item)) }

  private func tokens(_ range: Range<Int>) -> [Int32] {
    let first = Self.size(count: count, tokenCount: 0)
    return bytes.withUnsafeBytes { raw in
      [Int32](unsafeUninitializedCapacity: range.count) { output, filled in
        UnsafeMutableRawBufferPointer(output).copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: raw[(first + 4 * range.lowerBound)..<(first + 4 * range.upperBound)]))
        filled = range.count
      }
    }
  }

  private func load<Value: BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value {
    bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
  }

  private static func size(count: Int, tokenCount: Int) -> Int {
    headerSize + 8 * (2 * count + 1) + 12 * count + 4 * tokenCount
  }

  /// FNV-1a over words of 32 bits in four interleaved lanes: as fast as the memory, sensitive to every bit.
  static func checksum(of payload: Data) -> UInt64 {
    let prime: UInt64 = 0x100_0000_01b3
    return payload.withUnsafeBytes { raw in
      var lanes = SIMD4<UInt64>(repeating: 0xcbf2_9ce4_8422_2325) ^ SIMD4(0, 1, 2, 3)
      let words = raw.count / 4
      var word = 0
      while word + 4 <= words {
        let next = raw.loadUnaligned(fromByteOffset: 4 * word, as: SIMD4<UInt32>.self)
        lanes = (lanes ^ SIMD4<UInt64>(truncatingIfNeeded: next)) &* prime
        word += 4
      }
      while word < words {
        lanes[0] = (lanes[0] ^ UInt64(raw.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self))) &* prime
        word += 1
      }
      var sum = UInt64(raw.count)
      for lane in 0..<4 { sum = (sum ^ lanes[lane]) &* prime ^ (lanes[lane] >> 32) }
      return sum
    }
  }

  /// Eight words of 64 bits: magic, version, key (low, high), count, tokenCount, checksum of all that
  /// follows, zero.
  fileprivate struct Header {
    var magic: UInt64
    var version: UInt64
    var key: UInt128
    var count: UInt64
    var tokenCount: UInt64
    var checksum: UInt64
  }
}

extension TokenTable.Header {
  fileprivate init(_ data: Data) {
    let words = data.withUnsafeBytes { raw in
      (0..<8).map { UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
    }
    self.init(
      magic: words[0], version: words[1], key: UInt128(words[2]) | UInt128(words[3]) << 64, count: words[4],
      tokenCount: words[5], checksum: words[6])
  }

  fileprivate var bytes: Data {
    let words = [
      magic, version, UInt64(truncatingIfNeeded: key), UInt64(truncatingIfNeeded: key >> 64), count,
      tokenCount,
      checksum, 0,
    ].map(\.littleEndian)
    return words.withUnsafeBytes { Data($0) }
  }
}
