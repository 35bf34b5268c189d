import Foundation
import TestSupport
import Testing

/// What `launch.sh` finds out about a machine before it builds, on stand-ins for the machine's own commands.
@Suite struct LauncherTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// A folder with stand-ins in `bin`, which goes with the instance.
  private final class Machine {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist \(UUID().uuidString)")

    init() throws {
      try FileManager.default.createDirectory(at: folder.appending(path: "bin"), withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func add(_ name: String, _ script: String) throws {
      let file = folder.appending(path: "bin/\(name)")
      try Data("#!/usr/bin/env bash\n\(script)\n".utf8).write(to: file)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file.path)
    }

    /// Runs a bash script in the folder, its stand-ins first on PATH.
    func run(
      _ script: String, arguments: [String] = [], environment more: [String: String] = [:]
    ) throws -> (code: Int32, output: String, errors: String) {
      let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
      return try Shell.run(
        ["bash", "-euo", "pipefail", "-c", script, "-"] + arguments,
        environment: ["PATH": "\(folder.path)/bin:\(path)", "PEFT_DIST_KERNELS": ""].merging(more) { $1 }, in: folder)
    }

    /// The same after `scripts/packages.bash` has been read.
    func runWithPackages(_ script: String, environment: [String: String] = [:]) throws -> (
      code: Int32, output: String, errors: String
    ) {
      let say = "say() { echo \"launch.sh: $*\" >&2; }; die() { say \"error: $1\"; exit 1; }"
      return try run(
        "\(say); . \"$1\"; \(script)", arguments: [LauncherTests.root.appending(path: "scripts/packages.bash").path],
        environment: environment)
    }

    /// A release whose apt knows these packages, and of those in parentheses the name alone.
    func addRelease(_ packages: String) throws {
      try add(
        "apt-cache",
        """
        packages=(\(packages.split(separator: " ").map { "'\($0)'" }.joined(separator: " ")))
        case $1 in
        pkgnames) for name in "${packages[@]}"; do echo "$name" | tr -d '()'; done ;;
        policy) for name in "${packages[@]}"; do if [[ $name == "$2" ]]; then printf '  Candidate: 1\\n'; exit; fi; done
          printf '  Candidate: (none)\\n' ;;
        esac
        """)
    }
  }

  @Test(arguments: [
    (
      "12",
      "git libcurl4 libcurl4-gnutls-dev libxml2 libncurses6 libncurses5 libsqlite3-0 zlib1g libstdc++6 libdnnl2 "
        + "libopenblas0 libopenblas0-pthread libstdc++-11-dev libstdc++-12-dev libstdc++-12-dev-arm64-cross",
      "git libopenblas0 libstdc++-12-dev libcurl4 libxml2 libncurses6 libsqlite3-0 zlib1g libstdc++6"
    ),
    (
      "13",
      "git (libcurl4) libcurl4t64 libcurl3t64-gnutls libxml2 libncurses6 libsqlite3-0 zlib1g libstdc++6 libdnnl3.6 "
        + "libopenblas0 (libstdc++-15-dev) libstdc++-14-dev libstdc++-12-dev",
      "git libopenblas0 libstdc++-14-dev libcurl4t64 libxml2 libncurses6 libsqlite3-0 zlib1g libstdc++6"
    ),
    (
      "later",
      "git libcurl4t64 libxml2-2 libncurses6 libncurses-dev libsqlite3-0 zlib1g libstdc++6 libopenblas0 "
        + "libstdc++-9-dev libstdc++-16-dev",
      "git libopenblas0 libstdc++-16-dev libcurl4t64 libxml2-2 libncurses6 libsqlite3-0 zlib1g libstdc++6"
    ),
  ])
  func namesOfPackagesAreLookedUp(release: String, packages: String, expected: String) throws {
    let machine = try Machine()
    try machine.addRelease(packages)
    let run = try machine.runWithPackages(
      """
      newest_gcc() { :; }
      for word in git openblas cxx libcurl.so.4 libxml2.so.2 libncurses.so.6 libsqlite3.so.0 libz.so.1 libstdc++.so.6; do
        package_for "$word"
      done
      package_for libunheard.so.1
      """)
    #expect(run.output.split(separator: "\n").joined(separator: " ") == expected, "\(run.errors)")
  }

  /// The compiler takes the headers of the newest GCC that it finds, and of no other.
  @Test func headersGoWithTheCompilerThatIsThere() throws {
    let machine = try Machine()
    try machine.addRelease("libstdc++-12-dev libstdc++-13-dev libstdc++-14-dev")
    let run = try machine.runWithPackages("newest_gcc() { echo 13; }; package_for cxx")
    #expect(run.output == "libstdc++-13-dev\n", "\(run.errors)")
  }

  @Test func whatIsMissingIsNamedToAUserWithoutRoot() throws {
    let machine = try Machine()
    try machine.addRelease("git libstdc++-14-dev libcurl4t64")
    try machine.add("id", "echo 1000")
    try machine.add("sudo", "exit 1")
    try machine.add("apt-get", "echo called; exit 1")
    let missing = "missing_needs() { printf '%s\\n' git cxx libcurl.so.4; }; newest_gcc() { :; }; install_missing"
    let run = try machine.runWithPackages(missing)
    #expect(run.code == 1 && run.output.isEmpty)
    #expect(
      run.errors == """
        launch.sh: error: missing: git, the C++ standard headers, the shared library libcurl.so.4. Install them with: \
        sudo apt-get update && sudo apt-get install -y git libstdc++-14-dev libcurl4t64

        """)
  }

  @Test func rootInstallsAndLooksAgain() throws {
    let machine = try Machine()
    try machine.addRelease("git libdnnl3.6")
    try machine.add("id", "echo 0")
    try machine.add("apt-get", "echo \"$*\" >>calls; if [[ $1 == install ]]; then touch installed; fi")
    let run = try machine.runWithPackages(
      "missing_needs() { if [[ ! -e installed ]]; then echo git; fi; }; has_library() { return 1; }; install_missing")
    #expect(run.code == 0, "\(run.errors)")
    let calls = try String(contentsOf: machine.folder.appending(path: "calls"), encoding: .utf8)
    #expect(
      calls == """
        update
        install -y --no-install-recommends git
        install -y --no-install-recommends libdnnl3.6

        """)
    let unknown = try machine.runWithPackages("rm -f installed; missing_needs() { echo mpirun; }; install_missing")
    #expect(unknown.code == 1)
    #expect(unknown.errors.contains("no package of this system's lists (apt-cache) brings Open MPI's mpirun"))
  }

  @Test(arguments: [
    (
      "echo 'swift: error while loading shared libraries: libncurses.so.6: cannot open shared object file' >&2; exit 127",
      "swift does not start: swift: error while loading shared libraries: libncurses.so.6: cannot open shared object file"
    ),
    ("echo 'OpenStack Swift'", "names no version but says 'OpenStack Swift'"),
    ("echo 'Swift version 5.10 (swift-5.10-RELEASE)'", "is too old: 6.1 or later is needed"),
  ])
  func aSwiftThatCannotBeUsedIsToldWhy(script: String, part: String) throws {
    let machine = try Machine()
    try machine.add("swift", script)
    let run = try machine.runWithPackages("find_swift; check_swift")
    #expect(run.code == 1)
    #expect(run.errors.hasPrefix("launch.sh: error: ") && run.errors.contains(part), "\(run.errors)")
  }

  /// A Swift that notes where it is to build what, and with which home.
  private func addBuilder(to machine: Machine) throws {
    try machine.add(
      "swift",
      """
      if [[ $1 == --version ]]; then echo 'Swift version 6.2'; exit; fi
      [[ -d $HOME && -w $HOME ]] || exit 1
      printf '%s\\n' "$3" "$5" >built
      mkdir -p "$5/release" && touch "$5/release/peft-dist" && chmod +x "$5/release/peft-dist"
      """)
  }

  /// A copy of the launcher in a folder with blanks in its path.
  private func copyLauncher(to machine: Machine) throws -> URL {
    let tree = machine.folder.appending(path: "a source tree")
    try FileManager.default.createDirectory(at: tree, withIntermediateDirectories: true)
    for name in ["launch.sh", "scripts", "Package.swift"] {
      try FileManager.default.copyItem(at: Self.root.appending(path: name), to: tree.appending(path: name))
    }
    return tree
  }

  @Test func buildsATreeWithBlanksInItsPath() throws {
    let machine = try Machine()
    try addBuilder(to: machine)
    let tree = try copyLauncher(to: machine)
    let run = try machine.run("'\(tree.path)/launch.sh' build")
    #expect(run.code == 0, "\(run.errors)")
    let built = try String(contentsOf: machine.folder.appending(path: "built"), encoding: .utf8)
    #expect(built == "\(tree.path)\n\(tree.path)/.build\n")
  }

  /// Where nothing can be written beside the sources: in a folder of links to them.
  @Test func buildsElsewhereWhereTheTreeCannotBeWritten() throws {
    let machine = try Machine()
    try addBuilder(to: machine)
    let tree = try copyLauncher(to: machine)
    // A file in the way stops root too.
    try Data().write(to: tree.appending(path: ".build"))
    let cache = machine.folder.appending(path: "cache")
    let run = try machine.run(
      "'\(tree.path)/launch.sh' build", environment: ["XDG_CACHE_HOME": cache.path, "HOME": ""])
    #expect(run.code == 0, "\(run.errors)")
    #expect(
      run.errors.contains("launch.sh: the source tree cannot be written; building in \(cache.path)/peft-dist/build-"))
    let built = try String(contentsOf: machine.folder.appending(path: "built"), encoding: .utf8)
    let package = try #require(built.split(separator: "\n").first)
    #expect(built == "\(package)\n\(package)/.build\n" && package.hasPrefix("\(cache.path)/peft-dist/build-"))
    let linked = try Data(contentsOf: URL(filePath: package + "/Package.swift"))
    #expect(try linked == Data(contentsOf: tree.appending(path: "Package.swift")))

    let nowhere = try machine.run(
      "'\(tree.path)/launch.sh' build", environment: ["XDG_CACHE_HOME": "\(tree.path)/.build"])
    #expect(nowhere.code == 1)
    #expect(nowhere.errors.contains("so there is no place to build; name one with XDG_CACHE_HOME"), "\(nowhere.errors)")
  }

  @Test func aHomeThatCannotBeWrittenIsReplacedWhileBuilding() throws {
    let machine = try Machine()
    try addBuilder(to: machine)
    let tree = try copyLauncher(to: machine)
    let run = try machine.run("'\(tree.path)/launch.sh' build", environment: ["HOME": "/nonexistent"])
    #expect(run.code == 0, "\(run.errors)")
    #expect(FileManager.default.fileExists(atPath: tree.appending(path: ".build/home").path))
  }

  /// A program of the user's own, and an mpirun that tells how it was called.
  private func addRun(to machine: Machine, mpirun: String = "echo \"mpirun $*\"") throws -> String {
    try machine.add("program", "exit 0")
    try machine.add(
      "mpirun", "if [[ $1 == --version ]]; then echo 'mpirun (Open MPI) 4.1.4'; else \(mpirun); fi")
    return "PEFT_DIST_PROGRAM='\(machine.folder.path)/bin/program' '\(Self.root.path)/launch.sh'"
  }

  /// What a file or an argument says is never an expression to the shell.
  @Test(arguments: [
    "threads_per_rank: line[$(touch evil)]", "threads_per_rank: 'a[$(touch evil)]'", "threads_per_rank: 0x10",
    "output: \"$(touch evil)\"\nthreads_per_rank: 08",
  ])
  func configurationsAreNotEvaluated(text: String) throws {
    let machine = try Machine()
    let launch = try addRun(to: machine)
    try Data((text + "\n").utf8).write(to: machine.folder.appending(path: "a run.yaml"))
    let run = try machine.run("\(launch) -n 1 --max-restarts 1 train --config 'a run.yaml'")
    #expect(!FileManager.default.fileExists(atPath: machine.folder.appending(path: "evil").path))
    #expect(run.code == 0 && run.output.contains("train --config a run.yaml"), "\(run.errors)")
    let flag = try machine.run("\(launch) -n 1 train --threads-per-rank 'line[$(touch evil)]'")
    #expect(!FileManager.default.fileExists(atPath: machine.folder.appending(path: "evil").path))
    // The program says what is wrong with it.
    #expect(flag.output.contains("--threads-per-rank line[$(touch evil)]\n"), "\(flag.output)")
  }

  @Test(arguments: [
    ("node01 slots=2\r\n", "has Windows line ends (CRLF)"), ("# none\n\n", "names no host"),
    ("a slots=1\n-oProxyCommand=evil slots=1\n", "line 2: expected 'NAME slots=RANKS', found '-oProxyCommand"),
    ("$(touch evil) slots=1\n", "line 1: expected"), ("../a slots=1\n", "line 1: expected"),
    ("a slots=x[$(touch evil)]\n", "line 1: expected"), ("a slots=0\n", "slots in line 1 of the hostfile"),
    ("a slots=two\n", "slots in line 1 of the hostfile"), ("a 2\n", "line 1: expected"),
  ])
  func hostfilesAreCheckedFirst(text: String, part: String) throws {
    let machine = try Machine()
    let launch = try addRun(to: machine)
    try Data(text.utf8).write(to: machine.folder.appending(path: "hosts"))
    let run = try machine.run("\(launch) --hostfile hosts train --config x.yaml")
    #expect(run.code != 0 && run.output.isEmpty, "\(run.output)")
    #expect(run.errors.contains(part), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: machine.folder.appending(path: "evil").path))
  }

  @Test func hostfilesOfOpenMPIArePassedOn() throws {
    let machine = try Machine()
    let launch = try addRun(to: machine)
    let text = "# hosts\n  node01 slots=2 max_slots=4 # two\nuser@node-2.example.org slots = 1\n10.0.0.1"
    try Data(text.utf8).write(to: machine.folder.appending(path: "hosts"))
    let run = try machine.run("\(launch) --hostfile hosts train --config x.yaml")
    #expect(
      run.code == 0 && run.output.contains("--hostfile hosts --bind-to none --mca oob_tcp_keepalive_time 10"),
      "\(run.errors)")
  }

  /// Whoever read what the script says has gone; the run is asked to save all the same.
  @Test func aBrokenPipeDoesNotKeepASignalFromTheRun() throws {
    let machine = try Machine()
    let wait = """
      trap 'echo saved >>saved; exit 75' USR1; echo $PPID >launcher; \
      for ((i = 0; i < 200; i++)); do sleep 0.05; done; exit 9
      """
    let launch = try addRun(to: machine, mpirun: wait)
    let run = try machine.run(
      """
      (code=0; \(launch) -n 1 train --config x.yaml || code=$?; echo $code >code) 2>&1 >/dev/null | true &
      for ((i = 0; i < 200; i++)); do if [[ -s launcher ]]; then break; fi; sleep 0.05; done
      kill -TERM "$(cat launcher)"  # a job in the background ignores INT
      for ((i = 0; i < 200; i++)); do if [[ -s code ]]; then break; fi; sleep 0.05; done
      cat saved code
      """)
    #expect(run.output == "saved\n75\n", "\(run.output) \(run.errors)")
  }

  /// mpirun that waits for a host which is gone, though the ranks have ended the job.
  @Test func anMpirunThatOutlivesTheRanksIsEnded() throws {
    let machine = try Machine()
    let linger = """
      echo "$$" >>tries; : >"$PEFT_DIST_VERDICT_FILE"; trap '' TERM; for ((i = 0; i < 600; i++)); do sleep 0.1; done
      """
    let launch = try addRun(to: machine, mpirun: linger)
    let start = Date()
    let run = try machine.run(
      "\(launch) -n 2 --max-restarts 1 train --config x.yaml || echo \"ended with $?\"",
      environment: ["PEFT_DIST_VERDICT_PATIENCE": "1"])
    #expect(run.output == "ended with 137\n", "\(run.output) \(run.errors)")
    #expect(run.errors.components(separatedBy: "mpirun has not noticed: ending it").count == 3, "\(run.errors)")
    #expect(run.errors.contains("restart 1 of 1"), "\(run.errors)")
    #expect(Date().timeIntervalSince(start) < 40)
    let tries = try String(contentsOf: machine.folder.appending(path: "tries"), encoding: .utf8)
    #expect(tries.split(separator: "\n").count == 2)
  }

  @Test func bridgesThatLeadNowhereAreLeftOut() throws {
    let machine = try Machine()
    let launch = try addRun(to: machine)
    for name in ["eth0", "docker0", "br-12ab", "lo"] {
      try FileManager.default.createDirectory(
        at: machine.folder.appending(path: "net/\(name)"), withIntermediateDirectories: true)
    }
    try Data("a slots=1\nb slots=1\n".utf8).write(to: machine.folder.appending(path: "hosts"))
    let networks = ["PEFT_DIST_NETWORKS": machine.folder.appending(path: "net").path]
    let run = try machine.run("\(launch) --hostfile hosts train --config x.yaml", environment: networks)
    #expect(run.output.contains("--mca btl_tcp_if_exclude lo,br-12ab,docker0"), "\(run.output)\(run.errors)")
    let chosen = try machine.run(
      "\(launch) --hostfile hosts train --config x.yaml",
      environment: networks.merging(["OMPI_MCA_btl_tcp_if_include": "eth0"]) { $1 })
    #expect(!chosen.output.contains("if_exclude"), "\(chosen.output)")
    let alone = try machine.run("\(launch) -n 2 train --config x.yaml", environment: networks)
    #expect(!alone.output.contains("if_exclude"), "\(alone.output)")
  }
}
