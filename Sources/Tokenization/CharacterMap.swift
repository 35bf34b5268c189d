/// The character map of a SentencePiece model, applied as Hugging Face `tokenizers` applies it.
///
/// The map is a Darts double-array trie whose values are offsets into a block of NUL-terminated replacements.
/// Hugging Face differs from the library: it works on grapheme clusters. A cluster shorter than six bytes is
/// looked up as a whole, and the **shortest** matching prefix decides for all of it; otherwise its
/// characters are looked up one by one.
/// Source: tokenizers `normalizers/precompiled.rs`, spm_precompiled `lib.rs`.
struct CharacterMap: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]
  /// What becomes of each ASCII byte when its neighbour to the right is ASCII as well; nil: it stays.
  private let ascii: [[UInt8]?]

  private init(units: [UInt32], replacements: [UInt8]) {
    self.units = units
    self.replacements = replacements
    ascii = (0..<128).map { byte in
      Self.replacement(for: CollectionOfOne(UInt8(byte)), units: units, replacements: replacements).map(
        Array.init)
    }
  }

  /// - Parameter bytes: size of the trie in bytes (32 bits), the trie (32-bit units), the replacements; all
  /// little
  ///   endian. Empty: the map that changes nothing.
  /// - Returns: nil if the sizes contradict each other.
  init?(bytes: [UInt8]) {
    if bytes.isEmpty {
      self.init(units: [], replacements: [])
      return
    }
    func word(_ at: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count >= 8 else { return nil }
    let size = Int(word(0))
    guard size > 0, size % 4 == 0, size <= bytes.count - 4 else { return nil }
    let (units, replacements) = ((0..<size / 4).map { word(4 + 4 * $0) }, Array(bytes[(4 + size)...]))
    guard Self.areTexts(units, replacements) else { return nil }
    self.init(units: units, replacements: replacements)
  }

  /// Whether every value of the trie is the place of a text in UTF-8.
  private static func areTexts(_ units: [UInt32], _ replacements: [UInt8]) -> Bool {
    // Values have the highest bit set.
    let starts = Set(units.filter { $0 & 0x8000_0000 != 0 }.map { Int($0 & 0x7FFF_FFFF) })
    return starts.allSatisfy { start in
      guard start <= replacements.count else { return false }
      let end = replacements[start...].firstIndex(of: 0) ?? replacements.count
      return String(validating: replacements[start..<end], as: UTF8.self) != nil
    }
  }

  /// UTF-8 of `text` normalised, added to `output`.
  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    var string: String?
    var position = 0
    while position < text.count {
      let byte = text[position]
      let next = position + 1 < text.count ? text[position + 1] : 0x20
      if byte < 0x80 && next < 0x80 && !(byte == 0x0D && next == 0x0A) {
        if let replacement = ascii[Int(byte)] { output += replacement } else { output.append(byte) }
        position += 1
        continue
      }
      let whole = string ?? String(decoding: text, as: UTF8.self)
      string = whole
      let start = whole.utf8.index(whole.startIndex, offsetBy: position)
      let end = position + whole[start].utf8.count
      normalizeCluster(UnsafeBufferPointer(rebasing: text[position..<end]), into: &output)
      position = end
    }
  }

  private func normalizeCluster(_ cluster: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    if cluster.count < 6, let replacement = replacement(for: cluster) {
      output += replacement
      return
    }
    var start = 0
    while start < cluster.count {
      var end = start + 1
      while end < cluster.count && cluster[end] & 0xC0 == 0x80 { end += 1 }
      let character = cluster[start..<end]
      if let replacement = replacement(for: character) { output += replacement } else { output += character }
      start = end
    }
  }

  private func replacement(for key: some Collection<UInt8>) -> ArraySlice<UInt8>? {
    Self.replacement(for: key, units: units, replacements: replacements)
  }

  /// The replacement of the shortest prefix of `key` that the trie holds.
  private static func replacement(
    for key: some Collection<UInt8>, units: [UInt32], replacements: [UInt8]
  ) -> ArraySlice<UInt8>? {
    guard let root = units.first else { return nil }
    var node = offset(root)
    for byte in key {
      node ^= Int(byte)
      guard byte != 0, node < units.count, units[node] & 0x8000_00FF == UInt32(byte) else { return nil }
      let unit = units[node]
      node ^= offset(unit)
      guard unit & 0x100 != 0 else { continue }
      guard node < units.count else { return nil }
      let start = Int(units[node] & 0x7FFF_FFFF)
      guard start <= replacements.count else { return nil }
      let end = replacements[start...].firstIndex(of: 0) ?? replacements.count
      return replacements[start..<end]
    }
    return nil
  }

  /// Distance from a node of the double array to its children.
  private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }
}
