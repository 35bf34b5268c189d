import Checkpoints
import Foundation
import Tasks

/// Replays `metrics/`: scores computed from integer counts.
enum MetricReplay {
  static func reports(_ folder: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: folder.appendingPathComponent("metrics.json"))
    var reports: [CaseReport] = []
    if let classification = try json.optionalObject("classification") {
      reports += try classification.members.keys.sorted().map { name in
        let entry = try classification.object(name)
        guard entry["y_true"] != nil else {
          return CaseReport("metrics/\(name)", .notSupported(reason: "metric \(name)"))
        }
        return CaseReport("metrics/\(name)") { try scores(entry) }
      }
    }
    for name in ["rouge", "bleu"] where json[name] != nil {
      reports.append(CaseReport("metrics/\(name)", .notSupported(reason: "metric \(name)")))
    }
    return reports
  }

  private static func scores(_ entry: JSONObject) throws -> [Finding] {
    let (expected, predicted) = (try entry.ints("y_true"), try entry.ints("y_pred"))
    guard expected.count == predicted.count, let labelCount = (expected + predicted).max().map({ $0 + 1 }),
      labelCount <= 1 << 10, (expected + predicted).allSatisfy({ $0 >= 0 })
    else { throw entry.error("y_pred", expected: "as many labels as y_true, from 0 to 1023") }
    var counts = ClassificationCounts(labelCount: max(labelCount, 2))
    for (label, answer) in zip(expected, predicted) { counts.record(expected: label, predicted: answer) }
    var values: [(String, Double)] = [
      ("accuracy", counts.accuracy), ("f1_macro", counts.f1(.macro)), ("f1_micro", counts.f1(.micro)),
      ("f1_weighted", counts.f1(.weighted)), ("mcc", counts.matthewsCorrelation),
    ]
    if counts.labelCount == 2 { values.append(("f1", counts.f1(.binary))) }
    return try values.compactMap { key, value in
      guard let reference = try entry.optionalDouble(key) else { return nil }
      var finding = Finding(key, Tolerance(absolute: 1e-12, relative: 1e-9))
      finding.compare(value, reference, at: key)
      return finding
    }
  }
}
