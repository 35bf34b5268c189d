/// What is done to a text before it is tokenised, and the kind of model that it is meant for.
public struct TextOptions: Sendable, Equatable {
  public var lowercase: Bool
  /// Replaces every `<br />` by a space.
  public var stripHTML: Bool
  /// What the model does with an example; that of the ``ExampleEncoding`` which the texts go into.
  public var form: ExampleForm
  /// Names of the labels by number, for a task that leaves them open; empty: as found in the data.
  public var labelNames: [String]
  /// Whether a model that writes text gets the two texts of a pair as they are and one after the other, instead of in one
  /// wording: for methods that put words of their own between them.
  public var keepsTextsApart: Bool

  public init(
    lowercase: Bool = false, stripHTML: Bool = false, form: ExampleForm = .textToText, labelNames: [String] = [],
    keepsTextsApart: Bool = false
  ) {
    self.keepsTextsApart = keepsTextsApart
    self.lowercase = lowercase
    self.stripHTML = stripHTML
    self.form = form
    self.labelNames = labelNames
  }

  func apply(_ text: String) -> String {
    let plain = stripHTML ? Self.replacingLineBreaks(text) : text
    return lowercase ? plain.lowercased() : plain
  }

  private static func replacingLineBreaks(_ text: String) -> String {
    let tag = Array("<br />".utf8)
    var text = text
    return text.withUTF8 { bytes in
      var output: [UInt8] = []
      output.reserveCapacity(bytes.count)
      var position = 0
      while position < bytes.count {
        let isTag =
          bytes[position] == tag[0] && position + tag.count <= bytes.count
          && tag.indices.allSatisfy { bytes[position + $0] == tag[$0] }
        output.append(isTag ? UInt8(ascii: " ") : bytes[position])
        position += isTag ? tag.count : 1
      }
      return String(decoding: output, as: UTF8.self)
    }
  }
}
