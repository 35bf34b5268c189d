import Foundation

/// Folders of this user.
public enum UserFolders {
  /// Where caches lie: `$XDG_CACHE_HOME`; else `.cache` in `$HOME` or, without one, in the home that the system knows; for a
  /// user without a home that can be written, a folder of this user's number among the temporary files.
  public static func caches(
    environment: [String: String] = ProcessInfo.processInfo.environment, knownHome: String? = home
  ) -> URL {
    if let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") { return URL(fileURLWithPath: base) }
    for home in [environment["HOME"], knownHome].compactMap({ $0 }) where home.hasPrefix("/") {
      // A cache that was made for this user counts even in a home that is closed otherwise.
      let cache = URL(fileURLWithPath: home).appendingPathComponent(".cache")
      if access(cache.path, W_OK) == 0 || (access(cache.path, F_OK) != 0 && access(home, W_OK) == 0) { return cache }
    }
    let temporary = environment["TMPDIR"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/tmp"
    let folder = URL(fileURLWithPath: temporary).appendingPathComponent("peft-dist-\(getuid())")
    // Anybody may write there: what somebody else has put under this name is left alone.
    return isFree(folder.path) ? folder : URL(fileURLWithPath: "\(folder.path)-\(getpid())")
  }

  /// Whether there is nothing at `path`, or a folder of this user that nobody else writes to.
  private static func isFree(_ path: String) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else { return true }
    return status.st_mode & S_IFMT == S_IFDIR && status.st_uid == getuid() && status.st_mode & 0o002 == 0
  }

  /// The home of this user in the system's list of users; nil for a user who is not in it.
  public static var home: String? { getpwuid(getuid()).flatMap { $0.pointee.pw_dir }.map { String(cString: $0) } }
}
