import Logging
import Synchronization

/// What a run says to the person who started it: lines on standard error, `peft-dist: warning: …`, from
/// any thread.
///
/// In a job only rank 0 speaks: every other rank sets `isQuiet` as soon as it knows its number. Errors are
/// said by every rank, since the one that fails may be the only one that knows. Results go to standard
/// output and never here.
public enum RunLog {
  private static let quiet = Atomic<Bool>(false)
  private static let logger = RunLogHandler.logger(writer: .standardError)

  /// Whether notices and warnings (and progress bars made from then on) of this process are dropped.
  public static var isQuiet: Bool {
    get { quiet.load(ordering: .relaxed) }
    set { quiet.store(newValue, ordering: .relaxed) }
  }

  /// Something worth knowing: `peft-dist: TEXT`.
  public static func notice(_ text: String) { send(.notice, text, through: logger) }

  /// Something that may be wrong, with the way to mend it: `peft-dist: warning: TEXT`.
  public static func warning(_ text: String) { send(.warning, text, through: logger) }

  /// Why this process is about to fail: `peft-dist: error: TEXT`; said even when quiet.
  public static func error(_ text: String) { send(.error, text, through: logger) }

  /// Passes a message to a logger unless it is one that quiet processes drop.
  static func send(_ level: Logger.Level, _ text: String, through logger: Logger) {
    if level >= .error || !isQuiet { logger.log(level: level, "\(text)") }
  }
}

/// Formats an event of the run log as one line.
struct RunLogHandler: LogHandler {
  var logLevel: Logger.Level = .notice
  var metadata: Logger.Metadata = [:]
  let writer: LineWriter

  /// A logger that writes such lines.
  static func logger(writer: LineWriter) -> Logger {
    Logger(label: "peft-dist", factory: { _ in RunLogHandler(writer: writer) })
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    writer.write(line: Self.line(level: event.level, text: event.message.description))
  }

  /// `peft-dist: ` and what kind of message it is; a notice needs no such word.
  static func line(level: Logger.Level, text: String) -> String {
    switch level {
    case .trace, .debug, .info, .notice: "peft-dist: \(text)"
    case .warning: "peft-dist: warning: \(text)"
    case .error, .critical: "peft-dist: error: \(text)"
    }
  }
}
