import Synchronization
import Testing

@testable import Diagnostics

/// What a progress bar says and how often, on a clock that the test sets.
@Suite struct ProgressBarTests {
  private let reading = ProgressBar.Reading(
    step: 120, total: 1000, loss: 0.69314, tokensPerSecond: 4511.7, secondsLeft: 5025)

  @Test func lineOfALogHasEveryField() {
    #expect(reading.line == "step 120/1000 (12%), loss 0.6931, 4,512 tokens/s, 1:23:45 left")
    #expect(ProgressBar.Reading(name: "evaluating", step: 3, total: 8).line == "evaluating 3/8 (37%)")
  }

  @Test func lineOfATerminalFitsAnyWidthAndFillsAWideOne() {
    #expect(
      reading.bar(width: 80)
        == "step 120/1000 [=>              ] 12%  loss 0.6931  4,512 tokens/s  1:23:45 left")
    for width in 0...200 { #expect(reading.bar(width: width).count <= max(0, width - 1)) }
  }

  @Test(arguments: [
    (64, "step 120/1000 12%  loss 0.6931  4,512 tokens/s  1:23:45 left"),
    (50, "step 120/1000 12%  loss 0.6931  1:23:45 left"),
    (35, "step 120/1000 12%  loss 0.6931"), (20, "step 120/1000 12%"), (9, "step 120"),
  ])
  func fieldsLeaveOneByOneAsTheTerminalGetsNarrow(width: Int, expected: String) {
    #expect(reading.bar(width: width) == expected)
  }

  @Test func barIsFullOnlyAtTheEnd() {
    var reading = ProgressBar.Reading(step: 999, total: 1000)
    #expect(reading.bar(width: 40) == "step 999/1000 [==================>] 99%")
    reading.step = 1000
    #expect(reading.bar(width: 40) == "step 1000/1000 [=================] 100%")
    #expect(ProgressBar.Reading(step: 0, total: 0).line == "step 0/0 (100%)")
  }

  @Test func oddValuesAreShownForWhatTheyAre() {
    let odd = ProgressBar.Reading(
      step: 1, total: 2, loss: .nan, tokensPerSecond: .infinity, secondsLeft: .infinity)
    #expect(odd.line == "step 1/2 (50%), loss nan, --:-- left")
  }

  @Test func aFileGetsALineEverySoManySeconds() {
    let stage = Stage()
    let bar = stage.bar(style: .lines(everySeconds: 5), total: 100, firstStep: 10)
    for second in 1...12 {
      stage.clock.withLock { $0 = Double(second) }
      bar.update(step: 10 + second, loss: 2)
    }
    bar.finish()
    bar.finish()
    bar.update(step: 100)
    #expect(
      stage.lines == [
        "peft-dist: step 15/100 (15%), loss 2.0000, 1:25 left",
        "peft-dist: step 20/100 (20%), loss 2.0000, 1:20 left",
        "peft-dist: step 22/100 (22%), loss 2.0000, 1:18 left",
      ])
  }

  @Test func aTerminalIsRedrawnTenTimesASecondAtMost() {
    let stage = Stage()
    let bar = stage.bar(style: .terminal(columns: 30), total: 1000, firstStep: 0)
    for step in 1...1000 {
      stage.clock.withLock { $0 = Double(step) / 1000 }
      bar.update(step: step)
    }
    bar.finish()
    #expect((9...13).contains(stage.lines.count), "\(stage.lines)")
    #expect(stage.lines.first == "step 1/1000 0%  0:01 left")
    #expect(stage.lines.suffix(2) == ["step 1000/1000 100%", "END"])
  }

  @Test func silenceIsComplete() {
    let stage = Stage()
    let bar = stage.bar(style: .silent, total: 10, firstStep: 0)
    bar.update(step: 10)
    bar.finish()
    #expect(stage.lines.isEmpty)
  }
}

/// A clock to set, and the lines that came.
private final class Stage: Sendable {
  let clock = Mutex(0.0)
  private let shown = Mutex<[String]>([])
  var lines: [String] { shown.withLock { $0 } }

  func bar(style: ProgressBar.Style, total: Int, firstStep: Int) -> ProgressBar {
    let add: @Sendable (String) -> Void = { line in self.shown.withLock { $0.append(line) } }
    return ProgressBar(
      name: "step", total: total, firstStep: firstStep, style: style,
      sink: .init(line: add, status: { add($0 ?? "END") }), clock: { self.clock.withLock { $0 } })
  }
}
