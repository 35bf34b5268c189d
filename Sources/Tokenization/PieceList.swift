import Foundation

/// The pieces of a vocabulary by id, from a JSON object that gives the id of each.
enum PieceList {
  /// Ids above the number of pieces that are still taken for a vocabulary with holes.
  private static let mostHoles = 100_000

  /// Pieces by id, empty for ids that no piece has.
  ///
  /// - Throws: `TokenizationError.corruptVocabulary` for ids that are none, too large or of two pieces, and for pieces
  ///   that occur twice.
  static func pieces(_ vocabulary: ByteJSON?, in url: URL) throws -> [[UInt8]] {
    guard let members = vocabulary?.members, !members.isEmpty else {
      throw TokenizationError.corruptVocabulary(
        url, reason: "expected an object of pieces and ids, found \(vocabulary?.summary ?? "nothing")")
    }
    let limit = members.count + mostHoles
    var ids = Set<[UInt8]>()
    var pieces: [[UInt8]?] = []
    for member in members {
      let name = String(decoding: member.key.prefix(60), as: UTF8.self)
      guard case .integer(let id) = member.value, (0..<limit).contains(id) else {
        throw TokenizationError.corruptVocabulary(
          url, reason: "piece \"\(name)\": expected an id from 0 to \(limit - 1), found \(member.value.summary)")
      }
      if id >= pieces.count { pieces += Array(repeating: nil, count: id + 1 - pieces.count) }
      guard ids.insert(member.key).inserted else {
        throw TokenizationError.corruptVocabulary(url, reason: "it has the piece \"\(name)\" twice")
      }
      if let other = pieces[id] {
        throw TokenizationError.corruptVocabulary(
          url, reason: "id \(id) is \"\(String(decoding: other, as: UTF8.self))\" and \"\(name)\"")
      }
      pieces[id] = member.key
    }
    return pieces.map { $0 ?? [] }
  }

  /// Pieces with their ids, without the holes.
  static func numbered(_ pieces: [[UInt8]]) -> [(bytes: [UInt8], id: Int32)] {
    pieces.enumerated().filter { !$1.isEmpty }.map { ($1, Int32($0)) }
  }
}
