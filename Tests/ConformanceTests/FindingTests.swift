import TensorCore
import Testing

@testable import Conformance

/// The comparer itself: what it must not let pass.
@Suite struct FindingTests {
  private let expected = Tensor([1, -2, 0.5, 3, 0, 8], shape: [2, 3])

  private func compared(_ found: [Float], shape: [Int] = [2, 3], _ tolerance: Tolerance) -> Finding {
    var finding = Finding("logits", tolerance)
    finding.compare(Tensor(found, shape: shape), expected, at: "logits")
    return finding
  }

  @Test func equalNumbersAgree() {
    let finding = compared([1, -2, 0.5, 3, 0, 8], .exact)
    #expect(finding.agrees && finding.comparedCount == 6 && finding.largestDifference == 0)
  }

  @Test func differencesUpToTheToleranceAgree() {
    let tolerance = Tolerance(absolute: 0.25, relative: 0.125)
    #expect(compared([1.375, -2.5, 0.75, 3, 0.25, 6.75], tolerance).agrees)
    #expect(compared([1, -2, 0.5, 3, 0, 6.75], tolerance).largestDifference == 1.25)
  }

  @Test func oneElementTooFarDisagrees() {
    let finding = compared([1, -2, 0.5, 3, 0.2501, 8], Tolerance(absolute: 0.25, relative: 0.125))
    #expect(!finding.agrees && finding.failureCount == 1)
    #expect(finding.firstFailure?.contains("logits[1, 1]: expected 0.0, found 0.25") == true)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func whatIsNotFiniteDisagrees(value: Float) {
    let finding = compared([1, -2, 0.5, value, 0, 8], Tolerance(absolute: 1e30))
    #expect(!finding.agrees)
    #expect(!(finding.largestDifference <= 1e30))
  }

  @Test func aDifferenceThatIsNaNStays() {
    let finding = compared([.nan, -2, 0.5, 3, 0, 9], Tolerance(absolute: 10))
    #expect(finding.largestDifference.isNaN && finding.failureCount == 1)
    #expect(finding.summary == "logits nan (≤ 1e+01)")
  }

  @Test func aNaNInTheReferenceAgreesWithNothing() {
    var finding = Finding("loss", Tolerance(absolute: 1))
    finding.compare(.nan, .nan, at: "loss")
    finding.compare(0, .nan, at: "loss")
    #expect(finding.failureCount == 2)
    finding.compare(-.infinity, -.infinity, at: "loss")
    #expect(finding.failureCount == 2)
    var infinite = Finding("score", Tolerance(relative: 0.1))
    infinite.compare(3, .infinity, at: "score")
    #expect(infinite.failureCount == 1)
  }

  @Test func otherShapesDisagree() {
    #expect(!compared([1, -2, 0.5, 3, 0, 8], shape: [3, 2], .exact).agrees)
    #expect(!compared([1, -2, 0.5], shape: [1, 3], Tolerance(absolute: 100)).agrees)
    var list = Finding("list", Tolerance(absolute: 100))
    list.compare([1, 2], [1, 2, 3], at: "list")
    #expect(!list.agrees)
  }

  @Test func keysAreComparedInBothDirections() {
    func names(_ found: [String], _ expected: [String]) -> Finding {
      var finding = Finding("keys")
      finding.compare(names: found, expected)
      return finding
    }
    #expect(names(["a", "b"], ["b", "a"]).agrees)
    #expect(names(["a"], ["a", "b"]).firstFailure == "'b' is missing")
    #expect(names(["a", "b"], ["a"]).firstFailure == "'b' is not in the reference")
  }

  @Test func comparingNothingIsNoAgreement() {
    #expect(!Finding("grad").agrees)
    #expect(!CaseReport("empty", .compared([])).agrees)
    #expect(CaseReport("empty", .compared([Finding("grad")])).text.contains("OUT OF TOLERANCE"))
  }

  @Test func verdicts() {
    var (good, bad) = (Finding("loss"), Finding("loss"))
    good.compare(1, 1, at: "loss")
    bad.compare(1, 2, at: "loss")
    var verdict = Verdict()
    #expect(!verdict.passed && verdict.text == "conformance: FAILED: nothing to replay")
    verdict.record(CaseReport("a", .compared([good])))
    verdict.record(CaseReport("b", .compared([good, good])))
    #expect(verdict.passed && verdict.text == "conformance: 2 of 2 cases agree")
    verdict.record(CaseReport("c", .notSupported(reason: "method IA3")))
    #expect(!verdict.passed && verdict.text == "conformance: FAILED: 1 of 3 cases not supported")
    verdict.record(CaseReport("d", .compared([good, bad])))
    verdict.record(CaseReport("e", .unreadable(reason: "no file")))
    #expect(
      verdict.text == "conformance: FAILED: 1 of 5 cases out of tolerance, 1 not supported, 1 unreadable")
  }

  @Test func linesOfTheOutput() {
    var finding = Finding("grad", Tolerance(absolute: 6.2e-6, relative: 1e-3))
    finding.compare(1.0000012, 1, at: "q")
    #expect(CaseReport("lora", .compared([finding])).text == "lora: grad 1.2e-06 (≤ 6.2e-06 + 1e-03·|x|): ok")
    let exception = CaseReport("t5", .compared([finding]), knownExceptions: ["row 3"])
    #expect(exception.agrees && exception.text.hasSuffix(": ok\n  known exception: row 3"))
    #expect(CaseReport("x", .notSupported(reason: "y")).text == "x: not supported (y)")
  }
}
