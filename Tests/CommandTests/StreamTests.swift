import Foundation
import TestSupport
import Testing

/// Standard streams and signals of a command that runs alone.
@Suite struct StreamTests {
  /// A shell's line with the program as `"$P"`.
  private func shell(_ line: String, _ tiny: TinyRun, arguments: [String]) throws -> (
    code: Int32, output: String, errors: String
  ) {
    try Shell.run(
      ["timeout", "100", "bash", "-c", line, "-"] + arguments,
      environment: [
        "XDG_CACHE_HOME": tiny.cache.path, "P": MPIRun.product(named: "peft-dist").path, "D": tiny.folder.path,
      ], in: tiny.folder)
  }

  /// A result that could not be written is exit code 1.
  @Test(arguments: [">/dev/full", ">&-", "| { sleep 0.3; exec <&-; sleep 3; }; (exit ${PIPESTATUS[2]})"])
  func outputThatCannotBeWrittenIsAFailure(to place: String) throws {
    let tiny = try TinyRun()
    for arguments in [
      ["generate", "--model", tiny.model.path, "--max-new-tokens", "2"],
      tiny.evaluation(["--eval-limit", "4"]), ["doctor"],
    ] {
      let run = try shell("yes 'a film' | head -n 3 | \"$P\" \"$@\" \(place)", tiny, arguments: arguments)
      // Only a reader that has gone before the end is a failure; here it may still be there.
      if place.hasPrefix("|"), run.code == 0 { continue }
      #expect(run.code == 1, "\(arguments[0]): \(run.errors)")
      #expect(run.errors.contains("cannot write to standard output"), "\(arguments[0]): \(run.errors)")
    }
  }

  /// The next file that is opened must not become standard output.
  @Test func aClosedStandardOutputIsNoFile() throws {
    let tiny = try TinyRun()
    let run = try shell("\"$P\" \"$@\" >&- 2>&-", tiny, arguments: tiny.training(to: "run", ["--steps", "2"]))
    #expect(run.code == 1)
    // Trained and saved all the same.
    #expect(FileManager.default.fileExists(atPath: tiny.file("run/adapter/adapter_model.safetensors").path))
    let metrics = try String(contentsOf: tiny.file("run/metrics.jsonl"), encoding: .utf8)
    #expect(metrics.split(separator: "\n").allSatisfy { $0.hasPrefix("{") }, "\(metrics)")
  }

  @Test func tooFewOpenFilesAreOneSentence() throws {
    let tiny = try TinyRun()
    let run = try shell("ulimit -n 24; exec \"$P\" \"$@\"", tiny, arguments: tiny.training(to: "run"))
    #expect(run.code == 1)
    #expect(
      run.errors
        == "peft-dist: error: only 24 files may be open, and MPI needs 64 at its start: raise the limit (ulimit -n 1024)\n"
    )
  }

  /// Nobody reads the progress any more: the run goes on.
  @Test func aLostProgressPipeIsNoReasonToStop() throws {
    let tiny = try TinyRun()
    let run = try shell(
      "\"$P\" \"$@\" 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", tiny, arguments: tiny.training(to: "run"))
    #expect(run.code == 0)
    #expect(FileManager.default.fileExists(atPath: tiny.file("run/adapter/adapter_model.safetensors").path))
  }

  /// A terminal that was closed: saved, exit code 75; under `nohup` the run goes on.
  @Test(arguments: [false, true])
  func aClosedTerminal(isExpected: Bool) throws {
    let tiny = try TinyRun()
    let run = try shell(
      """
      \(isExpected ? "trap '' HUP;" : "") "$P" "$@" 2>/dev/null & run=$!
      until grep -q '"step":1[,}]' "$D/run/metrics.jsonl" 2>/dev/null; do kill -0 $run || exit 9; sleep 0.01; done
      kill -HUP $run; kill -HUP $run; wait $run
      """, tiny, arguments: tiny.training(to: "run", ["--epochs", isExpected ? "8" : "4000"]))
    #expect(run.code == (isExpected ? 0 : 75), "\(run.errors)")
    let checkpoints = try FileManager.default.contentsOfDirectory(atPath: tiny.file("run/checkpoints").path)
    #expect(checkpoints.contains { $0.hasPrefix("step-") })
  }

  /// Lines end and texts begin as they do for the readers of data.
  @Test func sourcesAreReadAsDataIs() throws {
    let tiny = try TinyRun()
    let arguments = [
      "generate", "--model", tiny.model.path, "--max-new-tokens", "4", "--output", tiny.file("out").path,
    ]
    func answers(_ text: String) throws -> String {
      try Data(text.utf8).write(to: tiny.file("in"))
      for input in [["--input", tiny.file("in").path], []] {
        let run = try shell("\"$P\" \"$@\" <\"$D/in\"", tiny, arguments: arguments + input)
        #expect(run.code == 0, "\(run.errors)")
      }
      return try String(contentsOf: tiny.file("out"), encoding: .utf8)
    }
    let plain = try answers("a dull film\nthe plot was great\n")
    #expect(plain.split(separator: "\n").count == 2)
    #expect(try answers("\u{FEFF}a dull film\r\nthe plot was great\r\n") == plain)
  }
}
