import Autograd
import Testing

@testable import Training

/// What the arithmetic computes, as constants: whichever machine runs this proves that it computes what the others do.
///
/// Whoever changes one of them raises `NumericIdentity.arithmeticVersion`.
@Suite struct NumericIdentityTests {
  @Test(arguments: [
    (Precision.fp32, "3c2120ef6aa46bcd"), (.bf16, "59bbb26f1d5205b3"), (.fp16, "f38698d0aa74e6ed"),
  ])
  func theBatteryIsTheSameEverywhere(precision: Precision, expected: String) throws {
    #expect(NumericIdentity.arithmeticVersion == 1)
    #expect(try NumericIdentity.battery(precision).prefix(16) == expected)
    let identity = try NumericIdentity.measure(precision: precision, leafTokens: 256)
    #expect(identity.text == "arithmetic 1, \(precision.rawValue), leaf tokens 256, battery \(expected)")
  }
}
