import Foundation
import TestSupport
import Testing

@testable import Collectives

@Suite(.serialized)
struct CPUAffinityTests {
  @Test func readsTheKernelsList() {
    #expect(CPUAffinity.numbers(inList: "\t0-3,8,10-11") == [0, 1, 2, 3, 8, 10, 11])
    #expect(CPUAffinity.numbers(inList: "5") == [5])
    #expect(CPUAffinity.numbers(inList: "") == [])
  }

  @Test func thisProcessHasCores() {
    let own = CPUAffinity.cores()
    #expect((1...CPUAffinity.coresOfNode).contains(own.count))
    #expect(CPUAffinity.cores(ofProcess: getpid()) == own)
    #expect(CPUAffinity.coresWithoutBinding().isSuperset(of: own))
  }

  @Test func freeRanksGetNoWarning() {
    #expect(warning(own: 16, union: 16, available: 16, threads: 8, ranks: 2) == nil)
    #expect(warning(own: 8, union: 16, available: 16, threads: 8, ranks: 2) == nil)
    #expect(warning(own: 2, union: 2, available: 2, threads: 1, ranks: 4) == nil)
  }

  @Test func tightBindingsNameTheFlag() throws {
    let one = try #require(warning(own: 1, union: 2, available: 16, threads: 8, ranks: 2))
    #expect(one.contains("bound to 1 of 16 cores, its share would be 8"))
    #expect(one.contains("--bind-to none") && one.contains("--map-by slot:PE=8"))
    let shared = try #require(warning(own: 8, union: 8, available: 16, threads: 8, ranks: 2))
    #expect(shared.contains("the 2 ranks of this machine are bound to the same 8 of 16 cores"))
    let many = try #require(warning(own: 4, union: 4, available: 4, threads: 9, ranks: 1))
    #expect(many.contains("9 threads on 4 cores"))
  }

  private func warning(own: Int, union: Int, available: Int, threads: Int, ranks: Int) -> String? {
    CPUAffinity.bindingWarning(
      own: own, nodeUnion: union, available: available, threads: threads, localSize: ranks)
  }

  @Test func threadsBeyondTheQuotaAreTold() throws {
    let two = try #require(CPUAffinity.quotaWarning(2.5, threads: 4, localSize: 2))
    #expect(two.contains("8 threads of this machine's ranks share the CPU time of 2.5 cores"))
    #expect(two.contains("--threads-per-rank to 1,"))
    #expect(CPUAffinity.quotaWarning(4, threads: 2, localSize: 2) == nil)
    #expect(CPUAffinity.quotaWarning(2.5, threads: 3, localSize: 1) == nil)
    #expect(CPUAffinity.quotaWarning(0.5, threads: 1, localSize: 4) == nil)
    #expect(CPUAffinity.quotaWarning(nil, threads: 64, localSize: 4) == nil)
  }

  /// mpirun binds a single rank to one core, unless told otherwise.
  @Test(.enabled(if: CPUAffinity.cores().count > 1)) func seesWhatMpirunBinds() throws {
    let cores = CPUAffinity.cores().count
    let bound = try MPIRun(ranks: 1, flags: ["--bind-to", "core"], arguments: ["binding"])
    #expect(bound.output.contains("of \(cores) cores, its share would be \(cores)"), "\(bound.output)")
    let free = try MPIRun(ranks: 1, flags: ["--bind-to", "none"], arguments: ["binding"])
    #expect(free.lines == ["rank 0: no warning"])
  }
}
