/// The special tokens that may stand literally in a text, such as `</s>` and `<extra_id_7>`.
struct SpecialTokenLiterals: Sendable {
  /// Literals by first byte, the longest first.
  private let byFirstByte: [UInt8: [(bytes: [UInt8], id: Int32)]]
  /// Whether a literal begins with this byte.
  private let beginsLiteral: [Bool]
  let idByText: [String: Int32]

  init(_ literals: [String: Int32]) {
    idByText = literals
    var grouped: [UInt8: [(bytes: [UInt8], id: Int32)]] = [:]
    for (text, id) in literals {
      let bytes = Array(text.utf8)
      if let first = bytes.first { grouped[first, default: []].append((bytes, id)) }
    }
    byFirstByte = grouped.mapValues { group in group.sorted { $0.bytes.count > $1.bytes.count } }
    beginsLiteral = (0..<256).map { grouped[UInt8($0)] != nil }
  }

  /// Calls `text` with every stretch between literals that is not empty, and `literal` with the id of every
  /// literal, in the order of the text.
  func split(
    _ bytes: UnsafeBufferPointer<UInt8>, text: (UnsafeBufferPointer<UInt8>) -> Void, literal: (Int32) -> Void
  ) {
    var start = 0
    var position = 0
    while position < bytes.count {
      guard beginsLiteral[Int(bytes[position])], let found = match(bytes, at: position) else {
        position += 1
        continue
      }
      if start < position { text(UnsafeBufferPointer(rebasing: bytes[start..<position])) }
      literal(found.id)
      position += found.length
      start = position
    }
    if start < bytes.count { text(UnsafeBufferPointer(rebasing: bytes[start...])) }
  }

  private func match(_ bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> (id: Int32, length: Int)? {
    guard let candidates = byFirstByte[bytes[position]] else { return nil }
    for candidate in candidates
    where candidate.bytes.count <= bytes.count - position
      && candidate.bytes.indices.allSatisfy({ bytes[position + $0] == candidate.bytes[$0] })
    {
      return (candidate.id, candidate.bytes.count)
    }
    return nil
  }
}
