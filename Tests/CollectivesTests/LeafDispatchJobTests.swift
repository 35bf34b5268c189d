import Foundation
import TestSupport
import Testing

/// Leaves handed out across ranks: cases of `mpi-selftest`.
@Suite(.serialized)
struct LeafDispatchJobTests {
  /// The leaves of each rank, and the digest.
  private func parts(_ run: MPIRun) -> (leaves: [[Int]], digest: String?) {
    let leaves = run.lines.filter { $0.hasPrefix("rank ") }.map { line in
      line.split(separator: ":").last.map { $0.split(separator: " ").compactMap { Int($0) } } ?? []
    }
    return (leaves, run.lines.last { $0.hasPrefix("dispatch ") })
  }

  @Test(arguments: [0, 2, 13, 40])
  func sameBitsAndEveryLeafOnceOnAnyLayout(leafCount: Int) throws {
    let alone = try parts(MPIRun(ranks: nil, arguments: ["dispatch", "leaves=\(leafCount)"]))
    #expect(alone.digest != nil)
    #expect(alone.leaves == [Array(0..<leafCount)])
    for (ranks, threads) in [(2, 1), (2, 2), (3, 1), (4, 2)] {
      let run = try MPIRun(
        ranks: ranks, arguments: ["dispatch", "leaves=\(leafCount),threads=\(threads)"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let found = parts(run)
      #expect(found.digest == alone.digest, "\(ranks) ranks, \(threads) threads")
      #expect(found.leaves.count == ranks)
      #expect(found.leaves.flatMap { $0 }.sorted() == Array(0..<leafCount))
      // The first leaf of each rank is given by the rule, if there are enough.
      for (rank, leaves) in found.leaves.enumerated() where rank < leafCount {
        #expect(leaves.first == rank, "rank \(rank) of \(ranks)")
      }
    }
  }

  /// With one of two ranks at a third of the other's speed, the best possible is 24 leaves against 8.
  @Test func slowRankHoldsNobodyUp() throws {
    let run = try MPIRun(ranks: 2, flags: ["--bind-to", "none"], arguments: ["dispatch-slow"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let numbers = run.lines.last?.split(separator: " ").compactMap { Double($0) } ?? []
    #expect(numbers.count == 2, "\(run.output)")
    #expect(numbers.first ?? .infinity <= 1.25, "dynamic, over the ideal: \(run.output)")
    #expect(numbers.last ?? 0 >= 1.9, "static, over the ideal: \(run.output)")
  }

  @Test(arguments: [(1, 0, 2), (2, 0, 1), (2, 1, 1), (3, 2, 2)])
  func stopOnOneRankStopsAll(ranks: Int, asked: Int, threads: Int) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["dispatch-stop", "rank=\(asked),threads=\(threads)"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let endings = Array(repeating: "stopped", count: ranks).joined(separator: " ")
    #expect(run.lines == ["\(endings), leaves left out"])
  }

  @Test(arguments: [3])
  func stopAfterTheLastLeafWasHandedOutComesTooLate(ranks: Int) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["dispatch-stop", "after=-1"])
    #expect(run.exitCode == 0, "\(run.errors)")
    let endings = Array(repeating: "complete", count: ranks).joined(separator: " ")
    #expect(run.lines == ["\(endings), all leaves"])
  }

  @Test(arguments: [(0, 2), (2, 3)])
  func errorOfALeafEndsTheJobNamingTheRank(rank: Int, ranks: Int) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["dispatch-throw", "\(rank)"])
    #expect(run.exitCode == 1)
    #expect(run.output.isEmpty)
    let told = run.errors.split(separator: "\n").filter { $0.hasPrefix("Error on rank") }
    #expect(told.count == 1, "\(run.errors)")
    #expect(told.first?.hasPrefix("Error on rank \(rank) of \(ranks)") == true, "\(run.errors)")
  }

  @Test(arguments: [1, 2, 3, 7])
  func ranksEndEveryRoundAlikeInAStormOfStops(ranks: Int) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["dispatch-storm", "rounds=300"])
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.lines == ["storm ok"])
  }
}
