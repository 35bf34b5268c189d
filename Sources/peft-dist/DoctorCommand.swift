import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import TensorCore
import Training

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check CPU, libraries, limits, folders and leftovers: what is wrong and how to mend it.",
    discussion: """
      Run it the way training is run: under mpirun it looks at every rank. Exit code 1 if there is a problem; a note
      is none.
      """)

  @Option(help: ArgumentHelp("Folder that a run would write to.", valueName: "dir"))
  var output = "."
  @Option(help: ArgumentHelp("Folder of the caches (default: $XDG_CACHE_HOME/peft-dist).", valueName: "dir"))
  var cacheDir: String?
  @Option(help: LeafFlags.productsHelp) var products: Products?
  @Flag(help: "Print what was found as JSON.")
  var json = false

  func run() throws {
    let healthy = try MainActor.assumeIsolated {
      try World.run { world in
        RunLog.isQuiet = !world.isFirst
        return try examine(world)
      }
    }
    if !healthy { throw ExitCode(1) }
  }

  @MainActor
  private func examine(_ world: World) throws -> Bool {
    var report = MachineReport()
    let identity = try measureProducts(&report, world: world)
    try LimitExamination.examineCores(&report, world: world)
    LimitExamination.examineMemory(&report)
    // What all ranks of a machine share is looked at once.
    if world.localRank == 0 {
      let cache = DataFlags.cacheFolder(cacheDir)
      FolderExamination.examineSharedMemory(ranks: world.localSize, &report)
      FolderExamination.examineOutput(output, &report)
      FolderExamination.examineCaches(cache, &report)
      LeftoverExamination.examine(output: output, cache: cache, &report)
    }
    return try tell(report, identity, world: world)
  }

  /// Chooses the kernels as training does and looks at them: library, rate, numeric identity (nil where products cannot be
  /// computed at all).
  @MainActor
  private func measureProducts(_ report: inout MachineReport, world: World) throws -> NumericIdentity? {
    var failure: String?
    // Of several ranks none may go on alone.
    do { try chooseKernels(products) } catch  where world.size == 1 { failure = "\(error)" }
    ProcessorExamination.examineProcessor(&report)
    ProcessorExamination.examineLibraries(&report)
    if let failure {
      report.problem("no products: \(failure)", fix: "install or choose what the message names")
      return nil
    }
    ProcessorExamination.examinePrecisions(&report)
    let (name, rate) = (MatrixBackend.identity, Self.gigaflops())
    report.add(
      "products", "\(name), \(String(format: "%.0f", rate)) GFLOP/s on one core",
      ["backend": .string(name), "gigaflops": .double(rate)])
    let identity = try NumericIdentity.measure(precision: .fp32, leafTokens: 512)
    report.add("identity", identity.text, .string(identity.text))
    return identity
  }

  /// Prints what all ranks found; whether all is well.
  @MainActor
  private func tell(_ report: MachineReport, _ identity: NumericIdentity?, world: World) throws -> Bool {
    let place: [String: JSON] = ["rank": .integer(world.rank), "host": .string(world.hostName)]
    let title = "rank \(world.rank) of \(world.size) on \(world.hostName)"
    let texts = try world.gatherAtAll(([title] + report.lines()).joined(separator: "\n"))
    let values = try world.gatherAtAll(JSON.object(report.json().merging(place) { $1 }).encoded(.compact))
    let identities = try world.gatherAtAll("\(world.hostName): \(identity?.text ?? "none")")
    var total = Int(try world.reduce(Int64(report.problemCount), .sum))
    let differ = Set(identities.map { $0.drop { $0 != ":" } }).count > 1
    if differ { total += 1 }
    guard world.isFirst else { return total == 0 }
    if json {
      let ranks = try values.map { try JSON.decode($0.utf8, origin: "doctor") }
      let whole: JSON = [
        "program": .string(PeftDist.version), "ranks": .array(ranks), "problems": .integer(total),
        "identities_agree": .bool(!differ), "healthy": .bool(total == 0),
      ]
      print(whole.encoded())
    } else {
      for text in texts { print(text) }
      if differ {
        print("problem: the ranks compute different bits: \(identities.joined(separator: "; "))")
      }
      print(total == 0 ? "all well" : "\(total) problem(s)")
    }
    return total == 0
  }

  /// Rate of a product of the shape training is made of, best of five.
  static func gigaflops() -> Double {
    let (m, n, k) = (430, 512, 512)
    let (a, b, c) = (Tensor(zeros: [m, k]), Tensor(zeros: [n, k]), Tensor(zeros: [m, n]))
    a.fill(0.5)
    b.fill(0.25)
    var best = Double.infinity
    for _ in 0..<5 {
      let watch = Stopwatch()
      for _ in 0..<20 { multiply(Matrix(a), Matrix(b, transposed: true), into: Matrix(c), m: m, n: n, k: k) }
      best = min(best, watch.seconds / 20)
    }
    return 2 * Double(m * n * k) / best / 1e9
  }
}
