import Tasks
import Testing

/// Objectives for pre-training: what they hide is right in number, uniform in place, and depends on seed, epoch and example alone.
/// Worked examples and counts of span corruption are compared with the reference in `ConformanceTests`.
@Suite struct ObjectiveTests {
  // MARK: Span corruption

  private let corruption = SpanCorruption(firstSentinel: 1099, eosID: 1)
  private let text = (0..<100).map { Int32(200 + $0) }

  /// Source and target together hold the text: putting the spans back in place of their sentinels restores it.
  @Test(arguments: [2, 3, 8, 17, 100, 568]) func nothingIsLost(length: Int) {
    let text = (0..<length).map { Int32(2000 + $0) }
    for example in 0..<50 {
      let corrupted = corruption.corrupted(text, seed: 3, epoch: 1, example: example)
      #expect(corrupted.source.last == 1 && corrupted.target.last == 1)
      var spans: [Int32: [Int32]] = [:]
      var sentinel: Int32 = 0
      for token in corrupted.target.dropLast() {
        if (1000...1099).contains(token) { sentinel = token } else { spans[sentinel, default: []].append(token) }
      }
      let restored = corrupted.source.dropLast().flatMap { spans[$0] ?? [$0] }
      #expect(restored == text)
      let lengths = corruption.lengths(ofText: length)
      #expect(lengths.source == corrupted.source.count && lengths.target == corrupted.target.count)
    }
  }

  @Test func aFunctionOfSeedEpochAndExample() {
    func mask(_ seed: UInt64, _ epoch: Int, _ example: Int) -> [Bool] {
      corruption.noiseMask(length: 100, seed: seed, epoch: epoch, example: example)
    }
    #expect(mask(1, 2, 3) == mask(1, 2, 3))
    #expect(Set([mask(1, 2, 3), mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4)]).count == 4)
  }

  /// All eight ways to hide two spans, 3 tokens of 8, are as likely: 2 divisions of the 3, times 4 of the 5 that stay.
  @Test func everyDivisionIsAsLikely() {
    var corruption = corruption
    corruption.noiseDensity = 0.375
    corruption.meanSpanLength = 1.5
    var counts: [[Bool]: Int] = [:]
    for example in 0..<8_000 {
      counts[corruption.noiseMask(length: 8, seed: 5, epoch: 0, example: example), default: 0] += 1
    }
    #expect(counts.count == 8)
    // Of 7 degrees of freedom 24.3 is exceeded once in a thousand.
    #expect(counts.values.reduce(0.0) { $0 + (Double($1) - 1000) * (Double($1) - 1000) / 1000 } < 24.3)
  }

  @Test func shortTextsAndLimits() {
    #expect(corruption.corrupted([], seed: 1, epoch: 0, example: 0) == .init(source: [1], target: [1]))
    #expect(corruption.corrupted([9], seed: 1, epoch: 0, example: 0) == .init(source: [9, 1], target: [1]))
    #expect(corruption.corrupted([9, 8], seed: 1, epoch: 0, example: 0).source == [9, 1099, 1])
    // T5's own numbers: texts of 568 tokens fill 512 of source and 114 of target.
    #expect(corruption.textLength(sourceLength: 512) == 568)
    #expect(corruption.lengths(ofText: 568) == (512, 114))
    #expect([0, 1, 2, 3].map(corruption.textLength) == [0, 0, 1, 2])
    // Never more spans than sentinels, nor than tokens that stay.
    var dense = corruption
    dense.meanSpanLength = 1
    #expect(dense.counts(length: 5_000).spans == 100)
    dense.closesWithSentinel = true
    #expect(dense.counts(length: 5_000).spans == 99)
    dense.noiseDensity = 0.9
    #expect(dense.counts(length: 10) == .init(noiseTokens: 9, spans: 1, keptTokens: 1))
    #expect(dense.noiseMask(length: 10, seed: 1, epoch: 0, example: 0) == [false] + Array(repeating: true, count: 9))
  }

  /// The same as counting up, for any density; one close to 1 is no reason to count for hours.
  @Test func theLongestText() {
    var corruption = corruption
    for density in [0.01, 0.15, 0.5, 0.85, 0.99] {
      for span in [1, 3, 7.5] {
        (corruption.noiseDensity, corruption.meanSpanLength) = (density, span)
        for source in [2, 3, 10, 64, 513] {
          let length = corruption.textLength(sourceLength: source)
          #expect(
            length >= source - 1
              && (2...length + 1).first { corruption.lengths(ofText: $0).source > source } == length + 1)
        }
      }
    }
    corruption.noiseDensity = 0.999_999
    #expect(corruption.textLength(sourceLength: 512) > 100_000_000)
    for density in [0.999_999_99, 1.0.nextDown] {
      corruption.noiseDensity = density
      #expect(corruption.textLength(sourceLength: 512) == Int(Int32.max))
    }
  }

  // MARK: Masked language modelling

  private let masking = MaskedLanguageModelling(maskID: 4, vocabularySize: 1000, specialIDs: [0, 1, 2])

  @Test func sharesOfTheMasking() {
    var (targets, masked, random, stayed) = (0, 0, 0, 0)
    let text = [0] + (0..<98).map { Int32(10 + $0) } + [2]
    for example in 0..<1_000 {
      let result = masking.masked(text, seed: 7, epoch: 0, example: example)
      #expect(result.source.count == text.count && result.target.count == text.count)
      #expect(result.source.first == 0 && result.source.last == 2)
      for position in text.indices {
        guard result.target[position] != ObjectiveExample.ignored else {
          #expect(result.source[position] == text[position])
          continue
        }
        #expect(result.target[position] == text[position])
        targets += 1
        switch result.source[position] {
        case 4: masked += 1
        case text[position]: stayed += 1
        default: random += 1
        }
      }
    }
    // Five standard deviations of each count.
    #expect(abs(Double(targets) - 14_700) < 5 * 112)
    let share = 1 / Double(targets)
    #expect(abs(Double(masked) * share - 0.8) < 5 * 0.0033)
    #expect(abs(Double(random) * share - 0.1) < 5 * 0.0025)
    #expect(abs(Double(stayed) * share - 0.1) < 5 * 0.0025)
  }

  @Test func maskingIsAnewInEveryEpoch() {
    func masked(_ seed: UInt64, _ epoch: Int, _ example: Int) -> ObjectiveExample {
      masking.masked(text, seed: seed, epoch: epoch, example: example)
    }
    let all = [masked(1, 2, 3), masked(2, 2, 3), masked(1, 3, 3), masked(1, 2, 4)]
    #expect(masked(1, 2, 3) == all[0] && Set(all.map(\.target)).count == 4)
    // A longer text is masked alike where it is the same.
    let longer = masking.masked(text + text, seed: 1, epoch: 2, example: 3)
    #expect(Array(longer.source.prefix(100)) == all[0].source)
  }

  // MARK: What training sees

  /// A plain text changes from epoch to epoch, an example with a target of its own never does.
  @Test func onlyPlainTextsAreMade() {
    let plain = EncodedExample(index: 5, source: text, target: [], uncutSourceLength: 100)
    let pair = EncodedExample(index: 6, source: [7, 8, 1], target: [9, 1], uncutSourceLength: 3)
    let objective = Objective.spanCorruption(corruption)
    let expected = corruption.corrupted(text, seed: 3, epoch: 2, example: 5)
    let made = objective.applied(to: plain, seed: 3, epoch: 2)
    #expect(made.source == expected.source && made.target == expected.target && made.index == 5)
    #expect(objective.applied(to: plain, seed: 3, epoch: 1).source != made.source)
    #expect(objective.applied(to: pair, seed: 3, epoch: 2) == pair)
  }
}
