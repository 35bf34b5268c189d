extension JSON {
  /// How `encoded` lays a value out.
  public enum Layout: Sendable {
    /// As Python's `json.dumps(value, indent=2, sort_keys=True)` does: two spaces, one element a line.
    case indented
    /// On one line, without any space.
    case compact
  }

  /// The value as JSON text; the same value always gives the same text.
  ///
  /// Characters beyond ASCII are escaped, doubles are the shortest text that reads back as the same number.
  /// Numbers that are not finite become `NaN`, `Infinity` and `-Infinity`, as Python writes and reads them.
  public func encoded(_ layout: Layout = .indented) -> String {
    var text = ""
    write(to: &text, layout: layout, depth: 0)
    return text
  }

  private func write(to text: inout String, layout: Layout, depth: Int) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += "\(value)"
    case .double(let value): text += Self.text(of: value)
    case .string(let value): Self.write(value, to: &text)
    case .array(let values):
      Self.write(values, in: ("[", "]"), to: &text, layout: layout, depth: depth) { value, text in
        value.write(to: &text, layout: layout, depth: depth + 1)
      }
    case .object(let members):
      let sorted =
        members.isOrderWritten ? Array(members) : members.sorted { $0.key.precedesByCodePoint($1.key) }
      Self.write(sorted, in: ("{", "}"), to: &text, layout: layout, depth: depth) { member, text in
        Self.write(member.key, to: &text)
        text += layout == .indented ? ": " : ":"
        member.value.write(to: &text, layout: layout, depth: depth + 1)
      }
    }
  }

  private static func write<Element>(
    _ elements: [Element], in brackets: (String, String), to text: inout String, layout: Layout, depth: Int,
    element: (Element, inout String) -> Void
  ) {
    text += brackets.0
    for (index, value) in elements.enumerated() {
      if index > 0 { text += "," }
      if layout == .indented { text += "\n" + String(repeating: "  ", count: depth + 1) }
      element(value, &text)
    }
    if layout == .indented && !elements.isEmpty { text += "\n" + String(repeating: "  ", count: depth) }
    text += brackets.1
  }

  private static func text(of value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return value.description
  }

  private static func write(_ string: String, to text: inout String) {
    text += "\""
    for unit in string.utf16 {
      switch unit {
      case 0x22: text += "\\\""
      case 0x5C: text += "\\\\"
      case 0x08: text += "\\b"
      case 0x0C: text += "\\f"
      case 0x0A: text += "\\n"
      case 0x0D: text += "\\r"
      case 0x09: text += "\\t"
      case 0x20..<0x7F: text.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      default:
        let digits = String(unit, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    text += "\""
  }
}

extension String {
  /// Order by code point, as Python sorts; Swift's own `<` compares normalised forms.
  func precedesByCodePoint(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
