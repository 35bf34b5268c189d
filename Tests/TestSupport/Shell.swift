import Foundation

/// Runs a command of the system to its end, for what needs a shell around the program: limits, redirections, signals.
public enum Shell {
  /// - Parameters:
  ///   - command: looked up on PATH of `environment`.
  ///   - environment: on top of that of this process without settings of this package, but for the kernel set of the tests; an
  ///     empty value takes a variable out.
  ///   - folder: where it runs, and where its standard error is kept meanwhile.
  public static func run(
    _ command: [String], environment more: [String: String] = [:], in folder: URL
  ) throws -> (code: Int32, output: String, errors: String) {
    let (process, output, errors) = (Process(), Pipe(), folder.appending(path: "errors"))
    FileManager.default.createFile(atPath: errors.path, contents: nil)
    process.environment = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("PEFT_DIST_") || $0.key == "PEFT_DIST_KERNELS"
    }.merging(more) { $1 }.filter { !$0.value.isEmpty }
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = command
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errors)
    try RunningProgram.withoutBlockedSignals { try process.run() }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text, try String(contentsOf: errors, encoding: .utf8))
  }
}
