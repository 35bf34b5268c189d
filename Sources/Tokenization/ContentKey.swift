/// A 128-bit FNV-1a digest of what a cached result depends on.
///
/// It tells inputs apart by accident-proof odds, not against somebody who forges them. Every item is
/// preceded by its length, so that neighbouring items cannot run into each other.
/// Source: Fowler, Noll, Vo; RFC 9923.
public struct ContentKey: Sendable, Hashable, CustomStringConvertible {
  public private(set) var value: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d

  public init() {}

  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    add(bytes.count)
    mix(bytes)
  }

  public mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
  }

  public mutating func add(_ number: Int) {
    withUnsafeBytes(of: Int64(number).littleEndian) { mix($0) }
  }

  private mutating func mix(_ bytes: UnsafeRawBufferPointer) {
    var hash = value
    for byte in bytes { hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b }
    value = hash
  }

  /// 32 hexadecimal digits.
  public var description: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 32 - digits.count) + digits
  }
}
