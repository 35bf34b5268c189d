import Checkpoints
import Foundation
import Tasks

/// Replays `span_corruption.json`: source and target of given masks, and how many tokens and spans are hidden.
enum SpanCorruptionReplay {
  static func findings(_ file: URL) throws -> [Finding] {
    let json = try JSONObject(file: file)
    var (inputs, targets) = (Finding("inputs"), Finding("targets"))
    var closed = Finding("targets with final sentinel")
    for (number, entry) in try json.objects("worked_examples").enumerated() {
      var corruption = SpanCorruption(
        firstSentinel: Int32(clamping: try entry.int("extra_id_0")), eosID: Int32(clamping: try entry.int("eos")))
      func ids(_ key: String) throws -> [Int32] { try entry.ints(key).map { Int32(clamping: $0) } }
      let (tokens, mask) = (try ids("tokens"), try entry.ints("noise_mask").map { $0 == 1 })
      guard tokens.count == mask.count else {
        throw entry.error("noise_mask", expected: "one number for each of the \(tokens.count) tokens")
      }
      let found = corruption.corrupted(tokens, mask: mask)
      inputs.compare(exactly: found.source, try ids("inputs"), at: "example \(number)")
      targets.compare(exactly: found.target, try ids("targets"), at: "example \(number)")
      corruption.closesWithSentinel = true
      let whole = corruption.corrupted(tokens, mask: mask)
      inputs.compare(exactly: whole.source, try ids("inputs"), at: "example \(number) with final sentinel")
      closed.compare(exactly: whole.target, try ids("targets_with_final_sentinel"), at: "example \(number)")
    }
    return [inputs, targets, closed, try counts(json)]
  }

  /// The counts, and that a random mask of this length has them.
  private static func counts(_ json: JSONObject) throws -> Finding {
    var finding = Finding("counts")
    for (number, entry) in try json.objects("random_spans_counts").enumerated() {
      var corruption = SpanCorruption(firstSentinel: 1099, eosID: 1)
      corruption.noiseDensity = try entry.double("noise_density")
      corruption.meanSpanLength = try entry.double("mean_noise_span_length")
      guard corruption.noiseDensity > 0, corruption.noiseDensity < 1, corruption.meanSpanLength >= 1 else {
        throw entry.error("noise_density", expected: "a share between 0 and 1, and spans of at least 1 token")
      }
      let length = try entry.int("length", in: 2...1_000_000)
      let expected = try ["num_noise_tokens", "num_noise_spans", "num_nonnoise_tokens"].map { try entry.int($0) }
      let found = corruption.counts(length: length)
      let place = "row \(number), length \(length)"
      finding.compare(exactly: [found.noiseTokens, found.spans, found.keptTokens], expected, at: place)
      let mask = corruption.noiseMask(length: length, seed: 1, epoch: 0, example: number)
      let spans = mask.indices.count { mask[$0] && ($0 == 0 || !mask[$0 - 1]) }
      finding.compare(
        exactly: [mask.count(where: \.self), spans, mask.count { !$0 }], expected, at: "\(place), a random mask")
    }
    return finding
  }
}
