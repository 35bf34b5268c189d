/// The members of a JSON object, in the order of the file or of their making.
///
/// Two objects are equal whatever their order, and are written with their keys sorted; only where the order means something, as
/// in a list of patterns of which the first match counts, is it kept (`keepingOrder`).
public struct JSONMembers: Sendable, Equatable, Sequence {
  /// Each key once.
  public private(set) var keys: [String]
  public private(set) var dictionary: [String: JSON]
  /// Whether they are written in their order.
  let isOrderWritten: Bool

  /// In the order of the keys' code points.
  public init(_ dictionary: [String: JSON] = [:]) {
    keys = dictionary.keys.sorted { $0.precedesByCodePoint($1) }
    self.dictionary = dictionary
    isOrderWritten = false
  }

  /// Members that are written in this order; of two equal keys the last value counts.
  public init(keepingOrder members: [(key: String, value: JSON)]) {
    (keys, dictionary, isOrderWritten) = ([], [:], true)
    for (key, value) in members { self[key] = value }
  }

  /// None, to be filled in the order of a file.
  static var empty: JSONMembers { JSONMembers() }

  public subscript(_ key: String) -> JSON? {
    get { dictionary[key] }
    set {
      if dictionary[key] == nil, newValue != nil { keys.append(key) }
      if newValue == nil { keys.removeAll { $0 == key } }
      dictionary[key] = newValue
    }
  }

  public var count: Int { keys.count }
  public var isEmpty: Bool { keys.isEmpty }

  public func makeIterator() -> some IteratorProtocol<(key: String, value: JSON)> {
    keys.lazy.compactMap { key in dictionary[key].map { (key: key, value: $0) } }.makeIterator()
  }

  public static func == (left: JSONMembers, right: JSONMembers) -> Bool { left.dictionary == right.dictionary }
}

extension JSON {
  /// An object whose order means nothing.
  public static func object(_ members: [String: JSON]) -> JSON { .object(JSONMembers(members)) }
}
