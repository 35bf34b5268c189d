import Collectives
import Diagnostics
import Foundation

extension SelfTestCase {
  /// Times steps of a few small leaves and a reduction without the watchdog and with it, in turn, then tells
  /// the CPU time its thread used. ARGUMENT is the number of seconds to measure (10).
  @MainActor
  static func watchdogCost(_ world: World, _ argument: String?) throws {
    let seconds = Double(argument ?? "10") ?? 10
    let pool = try LeafPool(threadCount: 1)
    var times: [Bool: [Double]] = [:]
    let rounds = 10
    for round in 0..<rounds {
      let isOn = round % 2 == 1
      if isOn { try Watchdog.start(world: world, timeoutSeconds: 60) }
      times[isOn, default: []].append(try stepSeconds(world, pool, seconds: seconds / Double(rounds)))
      try world.barrier()
      if isOn { Watchdog.stop() }
    }
    let texts = times.mapValues { list in
      list.map { String(format: "%.1f", $0 * 1e6) }.joined(separator: " ")
    }
    if world.isFirst {
      print("µs per step, off: \(texts[false] ?? "")\nµs per step, on:  \(texts[true] ?? "")")
    }
    try Watchdog.start(world: world, timeoutSeconds: 60)
    let before = watchdogThreadSeconds()
    for _ in 0..<Int(seconds * 10) {
      PhaseBoard.tick()
      usleep(100_000)
    }
    if world.isFirst {
      let used = (watchdogThreadSeconds() - before) * 1e3
      print(String(format: "the thread used %.2f ms of CPU time in %.0f s", used, seconds))
    }
  }

  /// Seconds per step, the same number of steps on every rank.
  @MainActor
  private static func stepSeconds(_ world: World, _ pool: LeafPool, seconds: Double) throws -> Double {
    var values = [Int64](repeating: 1, count: 1024)
    var steps = 0
    let watch = Stopwatch()
    while try world.reduce(watch.seconds < seconds ? 1 : 0, .minimum) == 1 {
      for _ in 0..<100 {
        pool.run(count: 8) { _, item in
          var sum = 0.0
          for index in 0..<10_000 { sum += 1 / Double(index + item + 1) }
          if sum < 0 { print(sum) }
        }
        try pool.wait()
        try world.reduce(&values, .maximum)
        steps += 1
      }
    }
    return watch.seconds / Double(steps)
  }

  /// CPU time of the thread named "watchdog", from /proc.
  private static func watchdogThreadSeconds() -> Double {
    let root = "/proc/self/task"
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    for task in tasks {
      guard let name = try? String(contentsOfFile: "\(root)/\(task)/comm", encoding: .utf8),
        name.hasPrefix("watchdog"),
        let text = try? String(contentsOfFile: "\(root)/\(task)/schedstat", encoding: .utf8)
      else { continue }
      return (text.split(separator: " ").first.flatMap { Double($0) } ?? 0) * 1e-9
    }
    return .nan
  }
}
