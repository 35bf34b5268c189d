import Foundation

/// Reads whole files: files, or pipes where they make sense, and never more than a bound, for a device has no end and a file
/// with holes may claim more than any memory holds.
public enum FileContents {
  /// Why a file cannot be read, to be put behind its name.
  public struct Unreadable: DescribedError {
    public let description: String
    init(_ description: String) { self.description = description }
  }

  /// What nobody writes to for so long is not waited for.
  private static let pipePatienceSeconds = 10

  /// - Parameters:
  ///   - limit: bytes at most.
  ///   - takesPipes: a pipe is read to its end, as one of `<(command)`.
  /// - Throws: `Unreadable`.
  public static func read(_ path: String, limit: Int = 1 << 30, takesPipes: Bool = false) throws -> Data {
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw Unreadable(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Unreadable(String(cString: strerror(errno))) }
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      guard status.st_size <= limit else {
        throw Unreadable("it has \(status.st_size) bytes, more than the \(limit) that such a file may have")
      }
      return try bytes(descriptor, limit: limit)
    case S_IFIFO where takesPipes:
      try waitForWriter(descriptor)
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
      return try bytes(descriptor, limit: limit)
    default: throw Unreadable("it is \(name(of: status.st_mode))")
    }
  }

  /// - Throws: `Unreadable` for what is there and no file.
  public static func requireFile(_ path: String) throws {
    var status = stat()
    guard stat(path, &status) == 0 else { throw Unreadable(String(cString: strerror(errno))) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Unreadable("it is \(name(of: status.st_mode))") }
  }

  /// What lies where a file should, with what helps.
  public static func name(of mode: mode_t) -> String {
    switch mode & S_IFMT {
    case S_IFIFO: "a pipe, which can be read only once; write it to a file first"
    case S_IFDIR: "a folder"
    default: "a device or socket"
    }
  }

  /// - Throws: `Unreadable` if nobody opens the other end in time.
  private static func waitForWriter(_ descriptor: Int32) throws {
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&state, 1, Int32(pipePatienceSeconds * 1000)) > 0 else {
      throw Unreadable("it is a pipe that nobody has written to for \(pipePatienceSeconds) s")
    }
  }

  private static func bytes(_ descriptor: Int32, limit: Int) throws -> Data {
    var data = Data()
    var part = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Foundation.read(descriptor, &part, part.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Unreadable(String(cString: strerror(errno))) }
      if count == 0 { return data }
      data.append(contentsOf: part[..<count])
      guard data.count <= limit else {
        throw Unreadable("it has more than the \(limit) bytes that such a file may have")
      }
    }
  }
}
