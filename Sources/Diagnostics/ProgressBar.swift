import Foundation
import Synchronization

/// How far a loop is, on standard error: a line redrawn in place on a terminal, a line every few seconds
/// elsewhere.
///
/// `update` may be called after every step from any thread and costs next to nothing when nothing is due. A
/// process whose `RunLog` is quiet shows nothing.
public final class ProgressBar: Sendable {
  /// What is shown: a pure value, so that its text can be tested.
  public struct Reading: Sendable, Equatable {
    /// What is counted, such as "step" or "evaluating".
    public var name: String
    /// Steps done, and steps there are.
    public var step: Int, total: Int
    public var loss: Double?
    /// Of all ranks together.
    public var tokensPerSecond: Double?
    /// Seconds until the last step, if known.
    public var secondsLeft: Double?

    public init(
      name: String = "step", step: Int, total: Int, loss: Double? = nil, tokensPerSecond: Double? = nil,
      secondsLeft: Double? = nil
    ) {
      (self.name, self.step, self.total) = (name, step, total)
      (self.loss, self.tokensPerSecond, self.secondsLeft) = (loss, tokensPerSecond, secondsLeft)
    }
  }

  /// Where and how often lines go out.
  public enum Style: Sendable, Equatable {
    /// Redrawn in place, at most ten times a second; nil: as wide as standard error's terminal is at that
    /// moment.
    case terminal(columns: Int?)
    /// A new line, at most one in so many seconds, and one at the end.
    case lines(everySeconds: Double)
    case silent

    /// As standard error is: a terminal, or a file or pipe that gets a line every five seconds.
    public static var automatic: Style {
      if RunLog.isQuiet { return .silent }
      let isTerminal = LineWriter.standardError.terminalColumns != nil
      return isTerminal ? .terminal(columns: nil) : .lines(everySeconds: 5)
    }
  }

  /// Where the text goes: standard error, or a test's list.
  struct Sink: Sendable {
    var line: @Sendable (String) -> Void
    var status: @Sendable (String?) -> Void
    static let standardError = Sink(
      line: { LineWriter.standardError.write(line: $0) },
      status: { LineWriter.standardError.show(status: $0) })
  }

  private struct State {
    var reading: Reading
    /// The clock at the last line, and whether `reading` has been shown.
    var lastShown: Double
    var isShown = true
    var isFinished = false
  }

  private let state: Mutex<State>
  private let style: Style
  private let sink: Sink
  private let clock: @Sendable () -> Double
  private let (firstStep, startTime): (Int, Double)

  /// Begins to count time.
  /// - Parameters:
  ///   - name: what is counted.
  ///   - total: steps there are, those done before included.
  ///   - firstStep: steps done before, when a run goes on from a checkpoint.
  public convenience init(
    name: String = "step", total: Int, firstStep: Int = 0, style: Style = .automatic
  ) {
    self.init(
      name: name, total: total, firstStep: firstStep, style: style, sink: .standardError,
      clock: { Stopwatch.now })
  }

  init(
    name: String, total: Int, firstStep: Int, style: Style, sink: Sink,
    clock: @escaping @Sendable () -> Double
  ) {
    (self.style, self.sink, self.clock) = (style, sink, clock)
    (self.firstStep, self.startTime) = (firstStep, clock())
    // A terminal shows the first step at once; a file waits for the first interval to pass.
    let lastShown: Double = if case .terminal = style { -.infinity } else { clock() }
    state = Mutex(State(reading: Reading(name: name, step: firstStep, total: total), lastShown: lastShown))
  }

  /// Steps done so far, with what they gave; shows them if it is time to.
  public func update(step: Int, loss: Double? = nil, tokensPerSecond: Double? = nil) {
    if style == .silent { return }
    let now = clock()
    state.withLock { state in
      if state.isFinished { return }
      state.reading.step = step
      state.reading.loss = loss ?? state.reading.loss
      state.reading.tokensPerSecond = tokensPerSecond ?? state.reading.tokensPerSecond
      state.reading.secondsLeft = secondsLeft(at: now, reading: state.reading)
      state.isShown = false
      if now - state.lastShown >= secondsBetweenLines { show(&state, at: now) }
    }
  }

  /// Shows the last reading if it has not been, and gives the terminal's line free; more updates are
  /// ignored.
  public func finish() {
    if style == .silent { return }
    let now = clock()
    state.withLock { state in
      if state.isFinished { return }
      if !state.isShown { show(&state, at: now) }
      state.isFinished = true
      if case .terminal = style { sink.status(nil) }
    }
  }

  private var secondsBetweenLines: Double {
    switch style {
    case .terminal: 0.1
    case .lines(let seconds): seconds
    case .silent: .infinity
    }
  }

  /// The steps to go at the mean speed so far.
  private func secondsLeft(at now: Double, reading: Reading) -> Double? {
    let done = reading.step - firstStep
    guard done > 0 else { return nil }
    return (now - startTime) / Double(done) * Double(max(0, reading.total - reading.step))
  }

  private func show(_ state: inout State, at now: Double) {
    switch style {
    case .terminal(let columns):
      sink.status(state.reading.bar(width: columns ?? LineWriter.standardError.terminalColumns ?? 80))
    case .lines: sink.line("peft-dist: \(state.reading.line)")
    case .silent: break
    }
    (state.lastShown, state.isShown) = (now, true)
  }
}
