import Foundation

/// A UDP socket over IPv4 on a free port, and the pipe that wakes whoever waits for it.
///
/// Unchecked Sendable: the descriptors never change; ``wake()`` is for any thread, ``close()`` for the one
/// that made the socket, once the thread that receives has ended.
final class WatchdogSocket: @unchecked Sendable {
  /// Port on every address of this machine; 0 if the system gave no socket, and then nothing is heard or
  /// sent.
  let port: UInt16
  private let descriptor: Int32
  private let wakeReader: Int32
  private let wakeWriter: Int32

  /// - Parameter usesNetwork: false leaves out the socket; ``wait(seconds:)`` and ``wake()`` work all the
  /// same.
  init(usesNetwork: Bool) {
    var ends: [Int32] = [-1, -1]
    if pipe(&ends) == 0 { ends.forEach { _ = fcntl($0, F_SETFD, FD_CLOEXEC) } }
    (wakeReader, wakeWriter) = (ends[0], ends[1])
    (descriptor, port) = usesNetwork ? WatchdogSocket.open() : (-1, 0)
  }

  private static func open() -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard descriptor >= 0 else { return (-1, 0) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    var place = address(INADDR_ANY, port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutablePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(descriptor, pointer, length) == 0 ? getsockname(descriptor, pointer, &length) : -1
      }
    }
    guard code == 0 else {
      Foundation.close(descriptor)
      return (-1, 0)
    }
    return (descriptor, UInt16(bigEndian: place.sin_port))
  }

  /// IPv4 addresses of this machine in network byte order, loopback last; whoever shares the machine may have
  /// no other.
  static func ownAddresses() -> [UInt32] {
    let all = interfaces()
    return (all.filter { !$0.isLoopback } + all.filter(\.isLoopback)).map(\.address)
  }

  /// Name and address of the interfaces that lead out of this machine, as "eth0 10.0.0.5".
  static func outwardInterfaces() -> [String] {
    interfaces().filter { !$0.isLoopback }.map { interface in
      let parts = withUnsafeBytes(of: interface.address) { $0.map(String.init) }
      return "\(interface.name) \(parts.joined(separator: "."))"
    }
  }

  /// IPv4 interfaces that are up, with their addresses in network order.
  private static func interfaces() -> [(name: String, address: UInt32, isLoopback: Bool)] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    return sequence(first: first, next: { $0?.pointee.ifa_next }).compactMap { $0?.pointee }.compactMap { entry in
      guard let place = entry.ifa_addr, place.pointee.sa_family == sa_family_t(AF_INET),
        Int32(bitPattern: entry.ifa_flags) & Int32(IFF_UP) != 0
      else { return nil }
      let number = place.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr.s_addr }
      return (
        String(cString: entry.ifa_name), number, Int32(bitPattern: entry.ifa_flags) & Int32(IFF_LOOPBACK) != 0
      )
    }
  }

  private static func address(_ number: UInt32, port: UInt16) -> sockaddr_in {
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr = in_addr(s_addr: number)
    return place
  }

  /// Sends a datagram; an address that cannot be reached is nothing to fail for, the next may be.
  func send(_ bytes: [UInt8], to number: UInt32, port: UInt16) {
    guard descriptor >= 0 else { return }
    var place = WatchdogSocket.address(number, port: port)
    withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = sendto(
          descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0,
          socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// The datagrams that have arrived, each passed to `body`.
  func receive(_ body: (ArraySlice<UInt8>) -> Void) {
    guard descriptor >= 0 else { return }
    var buffer = [UInt8](repeating: 0, count: 256)
    // A bound on the work of one look, whoever may send.
    for _ in 0..<4096 {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count < 0, errno == EINTR || errno == ECONNREFUSED { continue }
      guard count >= 0 else { return }
      body(buffer[..<count])
    }
  }

  /// Returns after `seconds`, when a datagram has arrived, or when woken.
  func wait(seconds: Double) {
    var files = [
      pollfd(fd: wakeReader, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
    ]
    // A negative descriptor is left out by poll.
    _ = poll(&files, nfds_t(files.count), Int32((max(0, seconds) * 1000).rounded(.up)))
  }

  /// Ends a ``wait(seconds:)`` under way, and all later ones at once.
  func wake() {
    var byte: UInt8 = 0
    _ = write(wakeWriter, &byte, 1)
  }

  func close() {
    for file in [descriptor, wakeReader, wakeWriter] where file >= 0 { Foundation.close(file) }
  }
}
