import Foundation

/// How a program ended, and what it used.
struct Outcome {
  enum Status: Equatable {
    case exited(Int32)
    case signalled(Int32)
    case late
  }
  var status: Status
  var megabytes: Int
  var output: String
  var errors: String
}

/// One run of the program in a folder of its own.
struct Execution {
  /// Folder it runs in, which holds all of its files.
  let folder: URL
  /// What is damaged, for a person.
  let damage: String
  let arguments: [String]
  var input: [UInt8] = []
  var environment: [String: String] = [:]
  /// Whether it is only right that it takes long.
  var asksForWork = false
  /// Its result must have this digest if it is a success; nil: not looked at.
  var expected: (file: String, contents: Data)?

  private static let env = "/usr/bin/env"

  /// - Throws: the program cannot be started.
  func run(program: String, timeoutSeconds: Double) throws -> Outcome {
    let (output, errors, stdin) = (path(".stdout"), path(".stderr"), path(".stdin"))
    try Data(input).write(to: URL(fileURLWithPath: stdin))
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, stdin, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT, 0o644)
    let variables = ProcessInfo.processInfo.environment.merging([
      "XDG_CACHE_HOME": path("cache"), "TMPDIR": folder.path, "SWIFT_BACKTRACE": "enable=no",
      "OMPI_MCA_orte_tmpdir_base": "/tmp",
    ]) { $1 }.merging(environment) { $1 }
    // An argument ends at its first zero byte, whoever passes it.
    var words = ([Self.env, "-C", folder.path, program] + arguments).map { strdup($0) } + [nil]
    var settings = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { (words + settings).forEach { free($0) } }
    var process = pid_t()
    let status = posix_spawn(&process, Self.env, &actions, nil, &words, &settings)
    guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: status) ?? .EIO) }
    let (ending, usage) = Self.wait(process, timeoutSeconds: timeoutSeconds)
    return Outcome(
      status: ending, megabytes: Int(usage.ru_maxrss) >> 10, output: Self.text(output), errors: Self.text(errors))
  }

  private static func wait(_ process: pid_t, timeoutSeconds: Double) -> (Outcome.Status, rusage) {
    var (status, usage) = (Int32(0), rusage())
    let end = Date().addingTimeInterval(timeoutSeconds)
    var pause: UInt32 = 500
    while wait4(process, &status, WNOHANG, &usage) == 0 {
      if Date() > end {
        kill(process, SIGKILL)
        wait4(process, &status, 0, &usage)
        return (.late, usage)
      }
      usleep(pause)
      pause = min(pause * 5 / 4, 20_000)
    }
    return (status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F), usage)
  }

  private func path(_ name: String) -> String { folder.appending(path: name).path }

  /// The first megabyte of a file.
  private static func text(_ path: String) -> String {
    guard let file = FileHandle(forReadingAtPath: path) else { return "" }
    return String(decoding: (try? file.read(upToCount: 1 << 20)) ?? Data(), as: UTF8.self)
  }

  /// Copies all of it, with a script that runs it again.
  func keep(at kept: URL, program: String, outcome: Outcome, finding: String) throws {
    try? FileManager.default.removeItem(at: kept)
    try FileManager.default.createDirectory(at: kept.deletingLastPathComponent(), withIntermediateDirectories: true)
    // Special files are kept as what they are.
    let copy = Process()
    copy.executableURL = URL(fileURLWithPath: "/bin/cp")
    copy.arguments = ["-a", folder.path, kept.path]
    try copy.run()
    copy.waitUntilExit()
    func quoted(_ word: String) -> String { "'" + word.replacing("'", with: "'\\''") + "'" }
    let settings = environment.map { "\($0)=\(quoted($1)) " }.joined()
    let script = """
      #!/bin/sh
      # \(damage.prefix(500).replacing("\n", with: " "))
      # \(finding.prefix(500).replacing("\n", with: " ")); \(outcome.status), \(outcome.megabytes) MB
      cd "$(dirname "$0")" && XDG_CACHE_HOME="$PWD/cache" \(settings)exec \(([program] + arguments).map(quoted).joined(separator: " ")) < .stdin
      """
    try script.write(to: kept.appending(path: "again.sh"), atomically: false, encoding: .utf8)
  }
}

/// What is no fair answer to hostile input.
struct Judge {
  let timeoutSeconds: Double
  let memoryMegabytes: Int

  private static let traces = [
    "Fatal error", "Program crashed", "Backtrace", "terminate called", "Error Domain=", "NSCocoaErrorDomain", "Swift/",
    ".swift:",
    ".cc(", "CocoaError", "DecodingError", "The operation couldn", "AddressSanitizer",
  ]

  func finding(_ execution: Execution, _ outcome: Outcome) -> String? {
    switch outcome.status {
    case .signalled(let signal): return "ended by signal \(signal)"
    case .late where execution.asksForWork: return nil
    case .late: return "not done after \(timeoutSeconds) s"
    case .exited(let code):
      if outcome.megabytes > memoryMegabytes { return "\(outcome.megabytes) MB of memory" }
      if let trace = Self.traces.first(where: { outcome.errors.contains($0) }) { return "'\(trace)' on stderr" }
      if code >= 128 { return "exit code \(code)" }
      let errors = outcome.errors.split(separator: "\n").filter { $0.contains("error: ") || $0.hasPrefix("Error: ") }
      // diff ends with 1 where two runs differ, as the tool of that name does.
      if code != 0, errors.isEmpty, execution.arguments.first != "diff" { return "exit code \(code) without an error" }
      if code != 0, errors.count > 1 { return "\(errors.count) errors for one mistake" }
      if outcome.errors.utf8.count > 20_000 { return "\(outcome.errors.utf8.count) bytes on stderr" }
      guard code == 0 else { return nil }
      return notFinite(execution) ?? other(execution)
    }
  }

  /// A saved adapter with values that are none.
  private func notFinite(_ execution: Execution) -> String? {
    let file = execution.folder.appending(path: "out/adapter/adapter_model.safetensors")
    guard let bytes = try? Data(contentsOf: file), bytes.count > 8 else { return nil }
    let length = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let values = bytes.dropFirst(8 + length)
    return values.withUnsafeBytes { raw in
      let count = raw.count / 4
      let isFinite = (0..<count).allSatisfy {
        Float(bitPattern: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)).isFinite
      }
      return isFinite ? nil : "success with values that are not finite in \(file.lastPathComponent)"
    }
  }

  private func other(_ execution: Execution) -> String? {
    guard let expected = execution.expected else { return nil }
    let found = try? Data(contentsOf: execution.folder.appending(path: expected.file))
    return found == expected.contents ? nil : "success with other bytes in \(expected.file)"
  }
}
