import Diagnostics
import Foundation

/// The file system as the data readers see it.
enum DataFolder {
  static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

  static func isDirectory(_ url: URL) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
      && isDirectory.boolValue
  }

  /// Names of the entries of a folder that end in `suffix`, sorted by their bytes.
  ///
  /// - Throws: `DataError.unreadable`.
  static func names(in folder: URL, suffix: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder.path)
        .filter { $0.hasSuffix(suffix) }
        .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    } catch {
      throw DataError.unreadable(folder, reason: reason(error))
    }
  }

  /// The files of data at a place: the place itself, or the texts in the folders of a folder.
  ///
  /// - Throws: `DataError.unreadable`.
  static func files(of location: URL) throws -> [URL] {
    guard isDirectory(location) else { return [location] }
    let folders = try names(in: location, suffix: "").map { location.appendingPathComponent($0) }.filter(isDirectory)
    return try folders.flatMap { folder in
      try names(in: folder, suffix: ".txt").map { folder.appendingPathComponent($0) }
    }
  }

  /// The content of a file, mapped if it can be.
  ///
  /// - Throws: `DataError.missing`, `.unreadable`.
  static func bytes(of url: URL) throws -> Data {
    guard exists(url) else { throw DataError.missing(url, expected: "the file does not exist") }
    guard !isDirectory(url) else { throw DataError.unreadable(url, reason: "it is a folder; name a file in it") }
    do { try FileContents.requireFile(url.path) } catch { throw DataError.unreadable(url, reason: "\(error)") }
    do { return try Data(contentsOf: url, options: .mappedIfSafe) } catch {
      throw DataError.unreadable(url, reason: reason(error))
    }
  }

  /// - Throws: `DataError.missing`, `.unreadable`, or `.notText` if the file is not UTF-8.
  static func text(of url: URL) throws -> String {
    let data = try bytes(of: url)
    guard let text = data.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw DataError.notText(url, reason: "the text is not valid UTF-8; convert the file to UTF-8")
    }
    return text
  }

  /// The short text of a Foundation error.
  static func reason(_ error: any Error) -> String {
    let cause = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    return (cause ?? error as NSError).localizedDescription
  }
}
