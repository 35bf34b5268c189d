import Foundation
import TestSupport
import Testing

@testable import Collectives

/// Cases of `mpi-selftest`, each with several numbers of ranks.
@Suite(.serialized)
struct WorldTests {
  @Test(arguments: [nil, 1, 2, 3, 4])
  func placesAreNumbered(ranks: Int?) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["place"])
    let size = ranks ?? 1
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.lines == (0..<size).map { "rank \($0) of \(size), local \($0) of \(size), named yes" })
  }

  @Test(arguments: [nil, 1, 2, 3, 4])
  func collectivesGiveWhatTheyShould(ranks: Int?) throws {
    let broadcast = try MPIRun(ranks: ranks, arguments: ["broadcast"])
    #expect(broadcast.exitCode == 0, "\(broadcast.errors)")
    #expect(broadcast.lines == ["broadcast ok on \(ranks ?? 1)"])
    let integers = try MPIRun(ranks: ranks, arguments: ["integers"])
    #expect(integers.exitCode == 0, "\(integers.errors)")
    #expect(integers.lines == ["integers ok"])
    let gather = try MPIRun(ranks: ranks, arguments: ["gather"])
    #expect(gather.exitCode == 0, "\(gather.errors)")
    let texts = (0..<(ranks ?? 1)).map { String(repeating: "abcdefgh", count: $0) }
    #expect(gather.lines == [texts.joined(separator: ",")])
  }

  @Test(arguments: [("1", [2, 4]), ("13", [1, 2, 3, 4]), ("66", [3])])
  func exactSumHasTheSameBitsOnAnyNumberOfRanks(leaves: String, rankCounts: [Int]) throws {
    let alone = try MPIRun(ranks: nil, arguments: ["reduce", leaves])
    #expect(alone.exitCode == 0, "\(alone.errors)")
    #expect(alone.lines.count == 1)
    for ranks in rankCounts {
      let run = try MPIRun(ranks: ranks, arguments: ["reduce", leaves])
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.lines == alone.lines, "\(ranks) ranks, \(leaves) leaves")
    }
  }

  @Test(arguments: [(0, 2), (1, 2), (2, 3), (3, 4)])
  func errorOnOneRankEndsTheJobNamingIt(rank: Int, ranks: Int) throws {
    let run = try MPIRun(ranks: ranks, arguments: ["throw-on-rank", "\(rank)"])
    #expect(run.exitCode == 1)
    #expect(run.output.isEmpty)
    let line = "Error on rank \(rank) of \(ranks) ("
    let told = run.errors.split(separator: "\n").filter { $0.hasPrefix("Error on rank") }
    #expect(told.count == 1, "\(run.errors)")
    #expect(told.allSatisfy { $0.hasPrefix(line) && $0.hasSuffix("): thrown on purpose by rank \(rank)") })
  }

  @Test func aRankThatDoesNotComeUpIsNoticed() throws {
    let run = try MPIRun(
      ranks: 2, arguments: ["place"], environment: ["START_TIMEOUT": "2"], ofRank1: (["absent"], [:]),
      timeoutSeconds: 30)
    #expect(run.exitCode == 1, "\(run.errors)")
    #expect(run.errors.contains("rank 0 of 2 ("), "\(run.errors)")
    #expect(run.errors.contains("has waited 2 s for the others while MPI started"), "\(run.errors)")
    #expect(run.errors.contains("--mca btl_tcp_if_include"))
  }

  @Test func aProcessAloneNeedsNoProgramsOfMPI() throws {
    let run = try MPIRun(
      ranks: nil, arguments: ["place"], environment: ["PATH": "/dev/null/none"])
    #expect(run.exitCode == 0, "\(run.errors)")
    // Open MPI 5 needs a folder for its session.
    let homeless = try MPIRun(ranks: nil, arguments: ["place"], environment: ["TMPDIR": "/dev/null/none"])
    if homeless.exitCode != 0 {
      #expect(
        homeless.errors.hasPrefix("Error: cannot write to the folder for temporary files '/dev/null/none'"),
        "\(homeless.errors)")
      #expect(homeless.errors.split(separator: "\n").count == 1, "\(homeless.errors)")
    }
  }

  /// Open MPI 4 has one session folder for all processes that nobody launched, unless it is told to make none.
  @Test func processesAloneDoNotDisturbEachOther() throws {
    let program = try MPIRun.product(named: "mpi-selftest").path
    let script = """
      for ((i = 1; i <= 160; i++)); do
        "$0" place >/dev/null 2>&1 || echo failed &
        if ((i % 8 == 0)); then wait; fi
      done
      wait
      """
    let run = try Shell.run(["bash", "-c", script, program], in: FileManager.default.temporaryDirectory)
    #expect(run.code == 0 && run.output.isEmpty, "\(run.output)")
  }

  @Test func errorOfASingleRankIsRethrown() throws {
    let run = try MPIRun(ranks: nil, arguments: ["throw-on-rank", "0"])
    #expect(run.exitCode == 1)
    #expect(run.errors == "Error: thrown on purpose by rank 0\n")
  }

  @Test func errorThatAllRanksMeetIsToldOnce() throws {
    let run = try MPIRun(ranks: 4, arguments: ["throw-everywhere"])
    #expect(run.exitCode == 1)
    let told = run.errors.split(separator: "\n").filter { $0.hasPrefix("Error on rank") }
    #expect(told.count == 1, "\(run.errors)")
    #expect(told.first?.hasPrefix("Error on rank 0 of 4") == true)
  }

  @Test func errorThrownWhilePollingEndsTheJob() throws {
    let run = try MPIRun(ranks: 2, arguments: ["poll-throws"], timeoutSeconds: 30)
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("Error on rank 1 of 2"), "\(run.errors)")
  }

  @Test func waitingRanksSleep() throws {
    let run = try MPIRun(ranks: 2, flags: ["--bind-to", "none"], arguments: ["late"])
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.lines == ["late ok"])
  }

  @Test func piecesCoverEverythingOnce() {
    #expect(World.pieces(of: 0).isEmpty)
    #expect(World.pieces(of: 10, atMost: 4) == [0..<4, 4..<8, 8..<10])
    #expect(World.pieces(of: 8, atMost: 4) == [0..<4, 4..<8])
    #expect(World.pieces(of: 1 << 29) == [0..<(1 << 28), (1 << 28)..<(1 << 29)])
  }
}
