import ArgumentParser
import Conformance
import Foundation

struct ConformanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conformance",
    abstract: "Replay reference data and show the largest difference of each quantity.",
    discussion: """
      One line for each case: every quantity with its largest |Δ| and what is allowed. The last line is the verdict; the \
      exit code is 1 if anything is out of tolerance or missing.
      """)

  @Argument(
    help:
      "A case folder, a part such as optim or generation, or the folder that holds all of the reference data."
  )
  var paths: [String]

  func run() throws {
    let urls = paths.map { URL(fileURLWithPath: $0) }
    let verdict = try MainActor.assumeIsolated {
      try Conformance.replay(urls) { print($0.text) }
    }
    print(verdict.text)
    guard verdict.passed else { throw ExitCode(1) }
  }
}
