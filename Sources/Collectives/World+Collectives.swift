import CMPI
import Foundation

/// How values of several ranks become one. Doubles offer no sum: its bits would depend on MPI's order of
/// adding.
public enum Reduction: Sendable {
  case sum, maximum, minimum, bitwiseOr

  fileprivate var operation: MPI_Op? {
    switch self {
    case .sum: cmpi_sum()
    case .maximum: cmpi_max()
    case .minimum: cmpi_min()
    case .bitwiseOr: cmpi_bitwise_or()
    }
  }
}

extension World {
  /// MPI counts are 32-bit: longer buffers go in pieces of this many elements (2 GiB of Int64).
  nonisolated static let largestPiece = 1 << 28

  /// Returns when every rank has called it.
  public func barrier() throws {
    try waitPolling(start("MPI_Ibarrier") { MPI_Ibarrier(communicator, &$0) })
  }

  // MARK: Reductions

  /// Starts adding (or comparing) `buffer` over all ranks, in place.
  ///
  /// Integer sums wrap around, and their bits depend neither on the order of ranks nor on MPI's algorithm.
  /// The buffer must live, untouched, until ``PendingReduction/test()`` gives true.
  public func startReduction(
    _ buffer: UnsafeMutableBufferPointer<Int64>, _ reduction: Reduction
  ) throws -> PendingReduction {
    try startReduction(
      UnsafeMutableRawBufferPointer(buffer), type: cmpi_int64(), stride: 8, reduction, over: communicator)
  }

  /// Reduces `values` over all ranks, in place on each.
  public func reduce(_ values: inout [Int64], _ reduction: Reduction) throws {
    try values.withUnsafeMutableBufferPointer { try waitPolling(startReduction($0, reduction)) }
  }

  /// One integer of each rank, reduced, the same on all.
  public func reduce(_ value: Int64, _ reduction: Reduction) throws -> Int64 {
    var values = [value]
    try reduce(&values, reduction)
    return values[0]
  }

  /// The largest (or smallest) of each position over all ranks, in place on each. NaN is not ordered: keep it
  /// out.
  public func reduce(_ values: inout [Double], _ reduction: Reduction) throws {
    precondition(
      reduction == .maximum || reduction == .minimum, "a sum of doubles would depend on the order of ranks")
    try values.withUnsafeMutableBytes {
      try waitPolling(
        startReduction($0, type: cmpi_double(), stride: 8, reduction, over: communicator))
    }
  }

  /// Reduces `values` over the ranks of this machine only.
  public func reduceOnNode(_ values: inout [Int64], _ reduction: Reduction) throws {
    try values.withUnsafeMutableBytes {
      try waitPolling(
        startReduction($0, type: cmpi_int64(), stride: 8, reduction, over: nodeCommunicator))
    }
  }

  /// The lowest rank of each rank's machine, by rank: ranks of one machine have the same.
  public func nodeLeaders() throws -> [Int] {
    var leader = [Int64(rank)]
    try reduceOnNode(&leader, .minimum)
    var all = [Int64](repeating: 0, count: size)
    all[rank] = leader[0]
    try reduce(&all, .bitwiseOr)
    return all.map { Int($0) }
  }

  private func startReduction(
    _ buffer: UnsafeMutableRawBufferPointer, type: MPI_Datatype?, stride: Int, _ reduction: Reduction,
    over communicator: MPI_Comm
  ) throws -> PendingReduction {
    var requests: [MPI_Request?] = []
    for piece in World.pieces(of: buffer.count / stride) {
      var request = cmpi_request_null()
      try MPICall.check("MPI_Iallreduce", rank: rank) {
        MPI_Iallreduce(
          cmpi_in_place(), buffer.baseAddress.map { $0 + piece.lowerBound * stride }, Int32(piece.count),
          type,
          reduction.operation, communicator, &request)
      }
      requests.append(request)
    }
    return PendingReduction(requests: requests, function: "MPI_Iallreduce", rank: rank)
  }

  // MARK: Bytes

  /// What rank 0 passes, on every rank; what the others pass is not looked at.
  public func broadcast(_ bytes: [UInt8]) throws -> [UInt8] {
    let count = try reduce(isFirst ? Int64(bytes.count) : 0, .maximum)
    var result = isFirst ? bytes : [UInt8](repeating: 0, count: Int(count))
    try result.withUnsafeMutableBytes { buffer in
      for piece in World.pieces(of: buffer.count) {
        try waitPolling(
          start("MPI_Ibcast") {
            MPI_Ibcast(
              buffer.baseAddress.map { $0 + piece.lowerBound }, Int32(piece.count), cmpi_byte(), 0,
              communicator, &$0)
          })
      }
    }
    return result
  }

  /// The data rank 0 passes, on every rank.
  public func broadcast(_ data: Data) throws -> Data {
    try Data(broadcast([UInt8](data)))
  }

  /// The text rank 0 passes, on every rank.
  public func broadcast(_ text: String) throws -> String {
    try String(decoding: broadcast([UInt8](text.utf8)), as: UTF8.self)
  }

  /// What each rank passes, in order of rank, on every rank. Meant for small messages.
  public func gatherAtAll(_ bytes: [UInt8]) throws -> [[UInt8]] {
    // Each rank writes its own place in a buffer of zeros; "or" over all ranks fills the others. Lengths
    // first.
    var lengths = [Int64](repeating: 0, count: size)
    lengths[rank] = Int64(bytes.count)
    try reduce(&lengths, .bitwiseOr)
    let words = lengths.map { (Int($0) + 7) / 8 }
    var all = [Int64](repeating: 0, count: words.reduce(0, +))
    let start = words[..<rank].reduce(0, +) * 8
    all.withUnsafeMutableBytes { $0[start..<start + bytes.count].copyBytes(from: bytes) }
    try reduce(&all, .bitwiseOr)
    var place = 0
    return all.withUnsafeBytes { buffer in
      zip(words, lengths).map { wordCount, length in
        defer { place += wordCount * 8 }
        return [UInt8](buffer[place..<place + Int(length)])
      }
    }
  }

  /// What each rank passes, in order of rank, on every rank.
  public func gatherAtAll(_ data: Data) throws -> [Data] {
    try gatherAtAll([UInt8](data)).map { Data($0) }
  }

  /// The text each rank passes, in order of rank, on every rank.
  public func gatherAtAll(_ text: String) throws -> [String] {
    try gatherAtAll([UInt8](text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  // MARK: Starting

  private func start(_ function: String, _ call: (inout MPI_Request?) -> Int32) throws -> PendingReduction {
    var request = cmpi_request_null()
    try MPICall.check(function, rank: rank) { call(&request) }
    return PendingReduction(requests: [request], function: function, rank: rank)
  }

  /// Cuts `count` elements into ranges of at most ``largestPiece``.
  nonisolated static func pieces(of count: Int, atMost largest: Int = largestPiece) -> [Range<Int>] {
    stride(from: 0, to: count, by: largest).map { $0..<min($0 + largest, count) }
  }
}
