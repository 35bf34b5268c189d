import Checkpoints
import Foundation
import TensorCore
import Training

/// Replays `beam_table`: beam search over a table of log-probabilities instead of a model.
///
/// `logprobs [tables, steps, V, V]` holds the log-probability of the next token after the last one, step by step.
enum BeamTableReplay {
  static func findings(_ folder: URL) throws -> [Finding] {
    let json = try JSONObject(file: folder.appendingPathComponent("beam_table.json"))
    let file = try SafetensorsFile(folder.appendingPathComponent("beam_table.safetensors"))
    let vocabulary = try json.int("vocab", in: 2...4096)
    let tables = try file.tensor("logprobs")
    guard tables.shape.count == 4, tables.shape[2...] == [vocabulary, vocabulary] else {
      throw ConformanceError.badInputs(
        file: folder.path,
        reason: "logprobs: expected [tables, steps, \(vocabulary), \(vocabulary)], found \(tables.shape)")
    }
    let prompts = try json.integerLists("prompts")
    var sequences = Finding("sequences")
    var scores = Finding("scores", Tolerance(absolute: 1e-4, relative: 1e-5))
    for (number, entry) in try json.objects("cases").enumerated() {
      let arguments = try entry.object("args")
      let options = try ReferenceGeneration.options(arguments, vocabularySize: vocabulary, eosIDs: [])
      let padID = Int32(try arguments.int("pad_token_id", in: 0...vocabulary - 1))
      let table = try entry.int("table", in: 0...tables.shape[0] - 1)
      guard options.maxNewTokens <= tables.shape[1] else {
        throw arguments.error("max_new_tokens", expected: "at most the \(tables.shape[1]) steps of the table")
      }
      let found = prompts.flatMap { prompt in
        search(tables.rows(table..<table + 1), prompt: prompt.map { Int32($0) }, options: options)
      }
      for finding in try ReferenceGeneration.compare(found, options: options, padID: padID, entry) {
        if finding.quantity == sequences.quantity {
          sequences.merge(finding, at: "case \(number)")
        } else {
          scores.merge(finding, at: "case \(number)")
        }
      }
    }
    return [sequences, scores]
  }

  /// - Parameter table: `[1, steps, V, V]`
  private static func search(_ table: Tensor, prompt: [Int32], options: GenerationOptions) -> [GeneratedSequence] {
    let vocabulary = table.width
    var search = BeamSearch(prompt: prompt, options: options)
    while !search.isOver {
      let rows = Tensor(zeros: [search.running.count, vocabulary])
      for (row, hypothesis) in search.running.enumerated() {
        let last = Int(hypothesis.tokens.last ?? 0)
        let step = hypothesis.tokens.count - prompt.count
        rows.rows(row..<row + 1).copyElements(
          from: table.reshaped([table.rows, vocabulary]).rows(step * vocabulary + last..<step * vocabulary + last + 1))
        options.applyRules(to: rows.rows(row..<row + 1), sequence: hypothesis.tokens, promptCount: prompt.count)
      }
      search.advance(rows)
    }
    return search.results
  }
}
