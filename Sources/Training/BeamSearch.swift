import CKernels
import Foundation
import NN
import TensorCore

// Beam search as Hugging Face does it (`generation/utils.py`, `_beam_search` of transformers 5). The algorithm knows rows of
// log-probabilities only; `BeamDecoder` brings them from a model. With k beams, g generated tokens, e end tokens:
//   1. Of all k V continuations the best K = max(2, 1 + e) k are looked at.
//   2. The k best of them that do not end go on.
//   3. Of those that end, the ones among the first k of the K compete for the k finished places, with score / g^penalty.
//   4. It is over when the best running hypothesis cannot enter the finished ones any more.
// HF searches all examples of a batch in lockstep; none influences another, so here each is a search of its own.

/// The beam search of one example.
public struct BeamSearch {
  public struct Hypothesis: Sendable {
    /// The prompt included.
    public let tokens: [Int32]
    /// Sum of log-probabilities.
    public fileprivate(set) var score: Float
    /// The hypothesis of the step before that this one continues.
    public let parent: Int
  }

  /// A finished hypothesis with its penalised score.
  private struct Finished {
    let tokens: [Int32]
    let score: Float
  }

  /// HF's stand-in for minus infinity, which decides between hypotheses that are all barred.
  private static let barred: Float = -1e9

  private let options: GenerationOptions
  private let prompt: [Int32]
  /// Most tokens to generate.
  private let limit: Int
  /// The hypotheses to go on with, best first.
  public private(set) var running: [Hypothesis]
  private var finished: [Finished] = []
  public private(set) var isOver: Bool

  public init(prompt: [Int32], options: GenerationOptions) {
    precondition(
      options.beamCount >= 1 && options.returnCount <= options.beamCount,
      "\(options.returnCount) sequences of \(options.beamCount) beams")
    self.options = options
    self.prompt = prompt
    running = (0..<options.beamCount).map { Hypothesis(tokens: prompt, score: $0 == 0 ? 0 : Self.barred, parent: 0) }
    limit = options.newTokenLimit(promptCount: prompt.count)
    isOver = limit < 1
  }

  private var isFull: Bool { finished.count == options.beamCount }

  /// One step.
  ///
  /// - Parameter rows: log-probabilities `[k, V]` of the next token after each running hypothesis, the rules applied; one
  ///   row where all hypotheses are still the prompt.
  public mutating func advance(_ rows: Tensor) {
    precondition(!isOver, "a beam search that is over goes no further")
    let generated = running[0].tokens.count - prompt.count + 1
    let candidates = candidates(rows)
    let isLast = generated == limit
    let ends = candidates.map { isLast || options.ends($0.tokens, promptCount: prompt.count) }
    let beamCount = options.beamCount

    let wasFull = isFull && options.earlyStopping == .whenFull
    if !wasFull {
      for (candidate, ends) in zip(candidates, ends).prefix(beamCount) where ends {
        let score = candidate.score / penalty(generated)
        if score > Self.barred { finish(candidate.tokens, score: score) }
      }
    }
    // A hypothesis that has ended goes on only where too few others are left.
    let order = candidates.indices.map { (index: $0, score: candidates[$0].score + (ends[$0] ? Self.barred : 0)) }
      .sorted { $0.score == $1.score ? $0.index < $1.index : $0.score > $1.score }
    running = order.prefix(beamCount).map { entry in
      var hypothesis = candidates[entry.index]
      hypothesis.score = entry.score
      return hypothesis
    }
    let longest = options.earlyStopping == .never && options.lengthPenalty > 0 ? limit : generated
    let bestPossible = (running.first?.score ?? Self.barred) / penalty(longest)
    let worstFinished = isFull ? finished.last?.score ?? Self.barred : Self.barred
    // Fewer hypotheses than beams are left only where log-probabilities are not numbers.
    isOver =
      !(bestPossible > worstFinished) || (isFull && options.earlyStopping == .whenFull) || ends.allSatisfy(\.self)
      || running.count < beamCount
  }

  /// The best finished hypotheses, fewer than asked for only if fewer have finished.
  public var results: [GeneratedSequence] {
    finished.prefix(options.returnCount).map {
      GeneratedSequence(tokens: $0.tokens, promptCount: prompt.count, score: $0.score)
    }
  }

  private func penalty(_ length: Int) -> Float { Float(Portable.pow(Double(length), options.lengthPenalty)) }

  /// The best K continuations, best first; equal ones by beam and token.
  private func candidates(_ rows: Tensor) -> [Hypothesis] {
    let kept = max(2, 1 + options.eosIDs.count) * options.beamCount
    var found: [(beam: Int, token: Int32, score: Float)] = []
    var best = [Int32](repeating: 0, count: kept)
    for (beam, hypothesis) in running.enumerated() {
      let row = rows.rows(min(beam, rows.rows - 1)..<min(beam, rows.rows - 1) + 1)
      let count = k_top(row.pointer, row.width, kept, &best)
      for token in best.prefix(count) {
        found.append((beam, token, row.pointer[Int(token)] + hypothesis.score))
      }
    }
    found.sort { $0.score == $1.score ? ($0.beam, $0.token) < ($1.beam, $1.token) : $0.score > $1.score }
    return found.prefix(kept).map { entry in
      Hypothesis(tokens: running[entry.beam].tokens + [entry.token], score: entry.score, parent: entry.beam)
    }
  }

  /// Enters a hypothesis behind all that are at least as good, and drops the last one if there are too many.
  private mutating func finish(_ tokens: [Int32], score: Float) {
    let place = finished.firstIndex { $0.score < score } ?? finished.count
    finished.insert(Finished(tokens: tokens, score: score), at: place)
    if finished.count > options.beamCount { finished.removeLast() }
  }
}

/// Beam search over a leaf: one decoding state, the hypotheses of all its examples as rows.
///
/// An example leaves the batch when its search is over: by content only, so the result does not depend on who decodes it.
struct BeamDecoder: Sendable {
  let options: GenerationOptions

  init(_ options: GenerationOptions) { self.options = options }

  func generate(_ state: any DecodingState, prompts: [[Int32]], _ pass: ForwardPass) -> [[GeneratedSequence]] {
    var searches = prompts.map { BeamSearch(prompt: $0, options: options) }
    var active = searches.indices.filter { !searches[$0].isOver }
    // One row for each example at first, as all its hypotheses are the same; then one for each hypothesis.
    var tokens = active.compactMap { prompts[$0].last }
    var parents = active
    var rowsEach = 1
    while !active.isEmpty {
      let scores = state.step(tokens: tokens, parents: parents, pass)
      k_log_softmax(scores.pointer, scores.rows, scores.width)
      (tokens, parents) = ([], [])
      var remaining: [Int] = []
      for (place, example) in active.enumerated() {
        let first = place * rowsEach
        for row in 0..<rowsEach {
          options.applyRules(
            to: scores.rows(first + row..<first + row + 1), sequence: searches[example].running[row].tokens,
            promptCount: prompts[example].count)
        }
        searches[example].advance(scores.rows(first..<first + rowsEach))
        guard !searches[example].isOver else { continue }
        remaining.append(example)
        for hypothesis in searches[example].running {
          tokens += hypothesis.tokens.suffix(1)
          parents.append(first + min(hypothesis.parent, rowsEach - 1))
        }
      }
      active = remaining
      rowsEach = options.beamCount
    }
    return searches.map(\.results)
  }
}
