import Testing

@testable import Diagnostics

@Suite struct ReadableNumbersTests {
  @Test(
    arguments: [
      (0, "0:00"), (0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"),
      (5025, "1:23:45"), (360_000, "100:00:00"), (-1, "--:--"), (.nan, "--:--"), (.infinity, "--:--"),
    ] as [(Double, String)])
  func durations(seconds: Double, expected: String) {
    #expect(ReadableNumbers.duration(seconds: seconds) == expected)
  }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (100_000, "100,000"),
    (Int.min, "-9,223,372,036,854,775,808"),
  ])
  func thousands(number: Int, expected: String) {
    #expect(ReadableNumbers.grouped(number) == expected)
  }

  @Test(
    arguments: [
      (0, "0.0000"), (0.69314, "0.6931"), (12.5, "12.5000"), (0.00012345, "1.234e-04"), (123456, "1.235e+05"),
      (.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf"),
    ] as [(Double, String)])
  func losses(loss: Double, expected: String) {
    #expect(ReadableNumbers.loss(loss) == expected)
  }
}
