import ArgumentParser
import CKernels
import Collectives
import Diagnostics
import Foundation
import TensorCore
import Training

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check CPU, BLAS, binding, memory and file system: what is wrong and how to mend it.",
    discussion: "Run it the way training is run: under mpirun it looks at every rank.")

  @Option(help: ArgumentHelp("Folder that a run would write to.", valueName: "dir"))
  var output = "."

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
    try agreeOnKernels(over: world)
    let cores = CPUAffinity.cores()
    let identity = try NumericIdentity.measure(programVersion: PeftDist.version, precision: .fp32, leafTokens: 512)
    var problems: [String] = []
    if let warning = try CPUAffinity.bindingWarning(threads: cores.count, world: world),
      world.size > 1 || cores.count == 1
    {
      problems.append(warning)
    }
    if kernels_selected() != kernels_best() {
      problems.append(
        "this CPU could run \(String(cString: kernels_name(kernels_best()))) kernels, another rank cannot")
    }
    if access(output, W_OK) != 0 { problems.append("cannot write to \(output): \(String(cString: strerror(errno)))") }
    if let free = Self.availableMegabytes, free < 2048 { problems.append("only \(free) MB of memory are available") }
    let lines =
      [
        "rank \(world.rank) of \(world.size) on \(world.hostName)",
        "  kernels   \(String(cString: kernels_name(kernels_selected())))",
        "  products  \(MatrixBackend.identity), \(String(format: "%.0f", Self.gigaflops())) GFLOP/s on one core",
        "  cores     \(cores.count) of \(CPUAffinity.coresOfNode)",
        "  memory    \(Self.availableMegabytes.map { "\($0) MB available" } ?? "unknown")",
        "  identity  \(identity.text)",
      ] + problems.map { "  problem   \($0)" }
    let all = try world.gatherAtAll(lines.joined(separator: "\n"))
    let total = try world.reduce(Int64(problems.count), .sum)
    var differs = false
    do { try identity.agree(over: world) } catch {
      differs = true
      if world.isFirst { print("problem: \(error)") }
    }
    if world.isFirst {
      for text in all { print(text) }
      print(total == 0 && !differs ? "all well" : "\(total + (differs ? 1 : 0)) problem(s)")
    }
    return total == 0 && !differs
  }

  static var availableMegabytes: Int? {
    guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 / 1024 }
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
