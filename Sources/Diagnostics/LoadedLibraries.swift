import Foundation

/// The shared libraries that this process has loaded.
public enum LoadedLibraries {
  /// The file of the library whose name begins with `name` (as `libsentencepiece.so`), links followed; nil if it is not
  /// loaded.
  public static func file(named name: String) -> String? {
    file(named: name, maps: KernelFile.text("/proc/self/maps") ?? "")
  }

  /// - Parameter maps: lines such as `7f00-7f01 r-xp 00000000 fe:00 123   /usr/lib/libz.so.1.2.13`; a path may hold blanks.
  static func file(named name: String, maps: String) -> String? {
    for line in maps.split(separator: "\n") {
      guard let slash = line.firstIndex(of: "/") else { continue }
      let path = line[slash...]
      if path.split(separator: "/").last?.hasPrefix(name) == true { return String(path) }
    }
    return nil
  }
}
