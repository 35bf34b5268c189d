import Collectives
import Foundation

// Numbered distributed cases, each printing what the tests compare: `mpirun -n 3 mpi-selftest reduce`.

let arguments = CommandLine.arguments
let name = arguments.count > 1 ? arguments[1] : "help"
let argument = arguments.count > 2 ? arguments[2] : nil

do {
  // A rank that never comes up, for the watch over the start.
  if name == "absent" {
    sleep(60)
    exit(0)
  }
  guard let selected = SelfTestCase.all.first(where: { $0.name == name || "\($0.number)" == name }) else {
    let list = SelfTestCase.all.map { "  \($0.number)  \($0.name)  \($0.summary)" }
    throw UsageError(text: "usage: mpi-selftest CASE [ARGUMENT]\n" + list.joined(separator: "\n"))
  }
  let patience = ProcessInfo.processInfo.environment["START_TIMEOUT"].flatMap(Double.init) ?? 60
  try World.run(startTimeoutSeconds: patience) { try selected.body($0, argument) }
} catch let error as UsageError {
  FileHandle.standardError.write(Data("\(error.text)\n".utf8))
  exit(2)
} catch {
  FileHandle.standardError.write(Data("Error: \(error)\n".utf8))
  exit(1)
}

/// A wrong command line.
struct UsageError: Error {
  let text: String
}
