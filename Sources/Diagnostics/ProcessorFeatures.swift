import Foundation

/// The CPU's model and features, as the kernel tells them.
public struct ProcessorFeatures: Sendable, Equatable {
  /// "AMD EPYC 9654" and the like; "unknown" where the kernel does not say.
  public let model: String
  /// The features that matter here, by the kernel's names, of ``known`` in its order.
  public let features: [String]

  /// Features that decide which kernels run.
  public static let known = [
    "avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16",
  ]

  public static func read() -> ProcessorFeatures {
    ProcessorFeatures(KernelFile.text("/proc/cpuinfo") ?? "")
  }

  /// - Parameter text: what `/proc/cpuinfo` holds; the first CPU counts.
  init(_ text: String) {
    func value(_ key: String) -> Substring? {
      for line in text.split(separator: "\n") {
        guard let colon = line.firstIndex(of: ":") else { continue }
        if line[..<colon].trimmingCharacters(in: .whitespaces) == key { return line[line.index(after: colon)...] }
      }
      return nil
    }
    let name = value("model name")?.trimmingCharacters(in: .whitespaces) ?? ""
    model = name.isEmpty ? "unknown" : name
    let flags = Set((value("flags") ?? "").split(whereSeparator: \.isWhitespace).map(String.init))
    features = Self.known.filter(flags.contains)
  }
}
