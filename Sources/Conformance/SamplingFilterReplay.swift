import Checkpoints
import Foundation
import TensorCore
import Training

/// Replays `generation/filters`: rules and sampling filters on rows of scores, every element.
///
/// `NAME.keep` is 1 where a score stays finite, `NAME.logits` holds it there; `NAME.probs` is the distribution drawn from.
enum SamplingFilterReplay {
  static func findings(_ folder: URL) throws -> [Finding] {
    let json = try JSONObject(file: folder.appendingPathComponent("filters.json"))
    let file = try SafetensorsFile(folder.appendingPathComponent("filters.safetensors"))
    let logits = try file.tensor("logits")
    let sequences = try file.integers("input_ids")
    guard logits.shape.count == 2, logits.rows > 0, sequences.count % logits.rows == 0 else {
      throw ConformanceError.badInputs(
        file: folder.path, reason: "logits: expected a row for each of input_ids, found \(logits.shape)")
    }
    let length = sequences.count / logits.rows
    var kept = Finding("kept")
    var scores = Finding("scores", Tolerance(absolute: 1e-6, relative: 1e-6))
    var probabilities = Finding("probabilities", Tolerance(absolute: 1e-6))
    for entry in try json.objects("tests") {
      let name = try entry.string("name")
      let options = try options(entry, vocabularySize: logits.width)
      let expected = try (keep: file.integers("\(name).keep"), logits: file.tensor("\(name).logits"))
      guard expected.keep.count == logits.count, expected.logits.shape == logits.shape else {
        throw ConformanceError.badInputs(file: folder.path, reason: "\(name): expected the shape of logits")
      }
      let counts = try entry.ints("kept")
      let wanted = file.contains("\(name).probs") ? try file.tensor("\(name).probs") : nil
      for row in 0..<logits.rows {
        let processed = Tensor(logits.rows(row..<row + 1).values, shape: [1, logits.width])
        let sequence = sequences[row * length..<(row + 1) * length].map { Int32(clamping: $0) }
        options.applyRules(to: processed, sequence: sequence, promptCount: 1)
        options.sampling?.filter(processed)
        let values = processed.values
        kept.compare(exactly: values.count { $0 > -.infinity }, counts[row], at: "\(name), kept of row \(row)")
        for (token, value) in values.enumerated() {
          let index = row * logits.width + token
          let place = "\(name)[\(row), \(token)]"
          kept.compare(exactly: value > -.infinity, expected.keep[index] == 1, at: place)
          scores.compare(
            value > -.infinity ? Double(value) : 0, Double(expected.logits.pointer[index]), at: place)
        }
        guard let wanted else { continue }
        let shares = SamplingDistribution.of(processed)
        for (token, share) in shares.enumerated() {
          probabilities.compare(
            share, Double(wanted.pointer[row * logits.width + token]), at: "\(name).probs[\(row), \(token)]")
        }
      }
    }
    return [kept, scores, probabilities]
  }

  private static func options(_ entry: JSONObject, vocabularySize: Int) throws -> GenerationOptions {
    let arguments = try entry.object("args")
    let known: Set = [
      "temperature", "top_k", "top_p", "min_p", "min_tokens_to_keep", "no_repeat_ngram_size", "repetition_penalty",
      "min_length", "eos_token_id",
    ]
    if let unknown = arguments.members.keys.filter({ !known.contains($0) }).min() {
      throw NotSupported(reason: "filter \(unknown)")
    }
    let ours = ["temperature", "top_k", "top_p", "min_p"]
    let order = try entry.optionalStrings("order") ?? []
    guard order == ours.filter(order.contains) else {
      throw NotSupported(reason: "filters in the order \(order.joined(separator: ", "))")
    }
    let ends = arguments["eos_token_id"] == nil ? [] : [try arguments.int("eos_token_id", in: 0...vocabularySize - 1)]
    var options = GenerationOptions(eosIDs: ends.map { Int32($0) })
    try ReferenceGeneration.readRules(arguments, into: &options)
    var sampling = SamplingOptions(seed: 0)
    sampling.temperature = Float(try arguments.optionalDouble("temperature") ?? 1)
    sampling.topK = try arguments.optionalInt("top_k") ?? 0
    sampling.topP = try arguments.optionalDouble("top_p") ?? 1
    sampling.minP = try arguments.optionalDouble("min_p") ?? 0
    sampling.leastKept = try arguments.optionalInt("min_tokens_to_keep") ?? 1
    options.sampling = sampling
    return options
  }
}
