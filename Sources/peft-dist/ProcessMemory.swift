import Foundation

/// Memory of this process as the kernel counts it.
enum ProcessMemory {
  static var peakMegabytes: Int { kilobytes("/proc/self/status", "VmHWM:") / 1024 }

  /// Counts the peak anew from here. Where the kernel does not do so the peak stays that of the whole process.
  static func resetPeak() {
    guard let file = fopen("/proc/self/clear_refs", "w") else { return }
    fputs("5", file)
    fclose(file)
  }

  /// Pages shared with other processes count in parts.
  static var proportionalMegabytes: Int { kilobytes("/proc/self/smaps_rollup", "Pss:") / 1024 }

  private static func kilobytes(_ path: String, _ key: String) -> Int {
    kilobytes(in: (try? String(contentsOfFile: path, encoding: .utf8)) ?? "", key)
  }

  /// The number behind `key`, which a tab parts from it: from 10 GB on no space is left between the two.
  static func kilobytes(in text: String, _ key: String) -> Int {
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
  }
}
