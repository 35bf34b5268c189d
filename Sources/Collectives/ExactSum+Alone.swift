extension ExactSum {
  /// As ``reduce(over:onPoll:)`` without other ranks, for programs that run no MPI.
  /// - Throws: `CollectivesError.windowsDisagree` if the step does not fit although it was repeated.
  public func reduceAlone() throws -> Outcome {
    seal()
    guard verdict() == .again else { return finish() }
    guard !windowsAreFresh else { throw disagreement() }
    adopt(logarithms: largestLogarithms())
    return .again
  }
}
