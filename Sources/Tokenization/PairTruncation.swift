/// What a pair of texts loses where both together are too long; each loses its last tokens.
///
/// Source: tokenizers `utils/truncation.rs`, `truncate_encodings`.
public enum PairTruncation: String, Sendable, CaseIterable {
  /// The longer one loses tokens until both are equally long, then both do; of an odd number of tokens the second text
  /// has one more, unless the first was longer.
  case longestFirst = "longest_first"
  case onlyFirst = "only_first"
  case onlySecond = "only_second"

  /// Lengths that fit into `room` tokens; nil if the text that may be cut would not be left with a token.
  public func lengths(_ first: Int, _ second: Int, room: Int) -> (first: Int, second: Int)? {
    let surplus = first + second - max(room, 0)
    guard surplus > 0 else { return (first, second) }
    switch self {
    case .longestFirst: return Self.longestFirst(first, second, room: room)
    case .onlyFirst: return first > surplus ? (first - surplus, second) : nil
    case .onlySecond: return second > surplus ? (first, second - surplus) : nil
    }
  }

  /// Lengths where the longer text loses tokens first; there are always some.
  public static func longestFirst(_ first: Int, _ second: Int, room: Int) -> (first: Int, second: Int) {
    let room = max(room, 0)
    guard first + second > room else { return (first, second) }
    let short = min(first, second, room / 2)
    return first <= second ? (short, room - short) : (room - short, short)
  }
}
