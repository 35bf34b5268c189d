/// BERT's preparation of a text: control characters go, white space becomes spaces, Chinese characters get spaces
/// around them, accents go, capitals become small.
///
/// Source: tokenizers `normalizers/bert.rs`; Google's `tokenization.py`, `BasicTokenizer`.
struct BertNormalizer: Sendable, Equatable {
  var lowercases = true
  var stripsAccents = true
  var separatesIdeographs = true

  /// UTF-8 of `text` normalised, added to `output`.
  func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    let kinds = BertCharacter.Table()
    // Characters outside ASCII, until something ends their run: canonical order cannot cross such a place.
    var run = CanonicalDecomposition()
    var position = 0
    output.reserveCapacity(output.count + text.count)
    while position < text.count {
      let (scalar, width) = UTF8Text.scalar(text, at: position)
      position += width
      switch kinds[scalar] {
      case .dropped: continue
      case .space:
        flush(&run, kinds, into: &output)
        output.append(0x20)
      case .ideograph where separatesIdeographs:
        flush(&run, kinds, into: &output)
        output.append(0x20)
        append(scalar, &run, into: &output)
        flush(&run, kinds, into: &output)
        output.append(0x20)
      default:
        guard scalar.isASCII else {
          append(scalar, &run, into: &output)
          continue
        }
        flush(&run, kinds, into: &output)
        let isCapital = scalar.value >= 0x41 && scalar.value <= 0x5A
        output.append(UInt8(scalar.value) | (isCapital && lowercases ? 0x20 : 0))
      }
    }
    flush(&run, kinds, into: &output)
  }

  /// Adds a character outside ASCII to the run where it has to be decomposed.
  private func append(_ scalar: Unicode.Scalar, _ run: inout CanonicalDecomposition, into output: inout [UInt8]) {
    if stripsAccents { run.append(scalar) } else { appendLowercased(scalar, into: &output) }
  }

  /// Adds a run without its accents to `output` and empties it.
  private func flush(_ run: inout CanonicalDecomposition, _ kinds: BertCharacter.Table, into output: inout [UInt8]) {
    guard !run.isEmpty else { return }
    run.order()
    for scalar in run.scalars where kinds[scalar] != .mark { appendLowercased(scalar, into: &output) }
    run.removeAll()
  }

  private func appendLowercased(_ scalar: Unicode.Scalar, into output: inout [UInt8]) {
    if lowercases { output += scalar.properties.lowercaseMapping.utf8 } else { output += String(scalar).utf8 }
  }

  /// Calls `body` with every word of normalised text: what white space separates, each punctuation mark alone.
  @inline(__always)
  static func forEachWord(in text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    let kinds = BertCharacter.Table()
    var start = 0
    var position = 0
    func close(at end: Int) { if start < end { body(UnsafeBufferPointer(rebasing: text[start..<end])) } }
    while position < text.count {
      let (scalar, width) = UTF8Text.scalar(text, at: position)
      let kind = kinds[scalar]
      if kind == .punctuation || kind == .space || (kind == .dropped && scalar.properties.isWhitespace) {
        close(at: position)
        start = position
        if kind == .punctuation { close(at: position + width) }
        start = position + width
      }
      position += width
    }
    close(at: text.count)
  }
}
