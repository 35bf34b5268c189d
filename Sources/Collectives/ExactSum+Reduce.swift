extension ExactSum {
  /// Adds up the sums and control words of all ranks; every rank gets the same outcome and the same bits.
  ///
  /// One non-blocking reduction of ``bytesOnTheWire`` bytes, polled with short sleeps; if a tensor did not
  /// fit its window, a second small one of the maxima.
  /// - Parameter onPoll: called between polls; what it throws ends the wait, and only ending the job is
  ///   possible then.
  /// - Throws: `CollectivesError.mpi`; `.windowsDisagree` if the step does not fit although it was repeated.
  @MainActor
  public func reduce(over world: World, onPoll: () throws -> Void = {}) throws -> Outcome {
    seal()
    try world.waitPolling(world.startReduction(words, .sum), onPoll: onPoll)
    guard verdict() == .again else { return finish() }
    guard !windowsAreFresh else { throw disagreement() }
    var logarithms = largestLogarithms()
    try world.reduce(&logarithms, .maximum)
    adopt(logarithms: logarithms)
    return .again
  }

  /// Size of the message of one step.
  public var bytesOnTheWire: Int { words.count * 8 }

  // The parts of a reduction. Tests add the words of several sums themselves, in every order.

  /// Writes control words and bracket counts in front of the sums: `words` is what travels then.
  package func seal() {
    precondition(!isSealed, "the sums were reduced already; begin(leafCount:) comes first")
    isSealed = true
    let first = ExactSum.reservedWords + controlCount
    statistics.withLock { statistics in
      for (index, value) in statistics.control.enumerated() { words[index] = value }
      for (tensor, brackets) in statistics.brackets.enumerated() {
        words[first + tensor] = Int64(bitPattern: brackets.word)
      }
    }
  }

  /// The words that travel, sealed.
  package var message: UnsafeMutableBufferPointer<Int64> { words }

  /// The outcome told by the added words.
  package func verdict() -> Outcome {
    if words[0] != 0 { return .nonFinite }
    if words[1] != 0 { return .again }
    let tooCoarse = counts.indices.contains { brackets(of: $0).isTooCoarse(exponent: windows[$0]) }
    return tooCoarse ? .again : .done
  }

  /// Ends a step that need not be repeated: moves the windows after a `.done` one.
  package func finish() -> Outcome {
    let outcome = verdict()
    windowsAreFresh = false
    if outcome == .done {
      windows = counts.indices.map { brackets(of: $0).next(after: windows[$0]) }
    }
    return outcome
  }

  /// floor(log2) of the largest entries this rank has seen, before scaling, per tensor.
  package func largestLogarithms() -> [Int64] {
    statistics.withLock { $0.logarithms.map { Int64($0) } }
  }

  /// Sets the windows from the largest entries of all ranks; all-zero tensors keep theirs.
  package func adopt(logarithms: [Int64]) {
    windows = zip(windows, logarithms).map { window, logarithm in
      logarithm == Int64(LeafStatistics.none)
        ? window : GradientWindow.exponent(ofMaximum: Int32(logarithm))
    }
    windowsAreFresh = true
  }

  private func brackets(of tensor: Int) -> WindowCounts {
    WindowCounts(word: UInt64(bitPattern: words[ExactSum.reservedWords + controlCount + tensor]))
  }

  /// Names the first tensor that this rank saw outside its window.
  func disagreement() -> CollectivesError {
    let logarithms = largestLogarithms()
    let tensor =
      counts.indices.first {
        logarithms[$0] >= Int64(windows[$0]) || brackets(of: $0).isTooCoarse(exponent: windows[$0])
      } ?? 0
    return .windowsDisagree(tensor: tensor, exponent: windows.isEmpty ? 0 : windows[tensor])
  }
}
