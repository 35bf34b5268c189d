import Diagnostics

/// What ranks tell each other outside MPI: one datagram, at most 96 bytes.
///
/// Layout, little endian: magic (4 bytes), kind (1), wait (1), length of the phase (2), nonce of the job (8),
/// progress (8), rank (4), milliseconds without progress (4), phase (UTF-8, at most 64).
struct WatchdogHeartbeat: Equatable {
  enum Kind: UInt8 {
    /// I am alive, and this is how I get on.
    case beat = 1
    /// I have found a stall and say so: the others end without a word.
    case verdict = 2
    /// I am done; do not miss me.
    case farewell = 3
  }

  var kind: Kind
  var rank: Int
  /// What the board of that rank said.
  var reading: PhaseBoard.Reading
  /// Time since its progress last changed, as it saw it.
  var idleSeconds: Double

  static let magic: UInt32 = 0x5044_5744
  static let headerLength = 32
  static let longestPhase = 64

  /// The datagram.
  /// - Parameter nonce: the job's number, which keeps datagrams of other jobs apart.
  func encoded(nonce: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    func append<T: FixedWidthInteger>(_ value: T) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    let phase = WatchdogHeartbeat.shortened(reading.phase)
    append(WatchdogHeartbeat.magic)
    append(kind.rawValue)
    append(reading.wait.rawValue)
    append(UInt16(phase.count))
    append(nonce)
    append(reading.progress)
    append(UInt32(rank))
    append(UInt32(max(0, min(idleSeconds, 4_000_000)) * 1000))
    return bytes + phase
  }

  init(kind: Kind, rank: Int, reading: PhaseBoard.Reading, idleSeconds: Double) {
    self.kind = kind
    self.rank = rank
    self.reading = reading
    self.idleSeconds = idleSeconds
  }

  /// Reads a datagram; nil if it is none of this job, or damaged.
  init?(_ bytes: ArraySlice<UInt8>, nonce: UInt64) {
    guard bytes.count >= WatchdogHeartbeat.headerLength else { return nil }
    func value<T: FixedWidthInteger>(at offset: Int, as type: T.Type) -> T {
      bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }
    guard value(at: 0, as: UInt32.self) == WatchdogHeartbeat.magic, value(at: 8, as: UInt64.self) == nonce,
      let kind = Kind(rawValue: value(at: 4, as: UInt8.self)),
      let wait = PhaseBoard.Wait(rawValue: value(at: 5, as: UInt8.self)),
      bytes.count == WatchdogHeartbeat.headerLength + Int(value(at: 6, as: UInt16.self))
    else { return nil }
    let phase = bytes.dropFirst(WatchdogHeartbeat.headerLength)
    self.init(
      kind: kind, rank: Int(value(at: 24, as: UInt32.self)),
      reading: .init(
        phase: String(decoding: phase, as: UTF8.self), progress: value(at: 16, as: UInt64.self), wait: wait),
      idleSeconds: Double(value(at: 28, as: UInt32.self)) / 1000)
  }

  /// At most ``longestPhase`` bytes, cut between characters.
  static func shortened(_ phase: String) -> [UInt8] {
    var text = phase
    while text.utf8.count > longestPhase { text.removeLast() }
    return Array(text.utf8)
  }
}
