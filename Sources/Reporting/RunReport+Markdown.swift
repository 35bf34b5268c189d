import Foundation

extension RunReport {
  /// The report as Markdown: the table, the course of metric and losses, and the plots that lie beside it.
  ///
  /// - Parameter plotFiles: paths of the plots from the page, in the order of `plots`.
  public func markdown(plotFiles: [String] = []) -> String {
    var lines = ["# \(Self.escaped(title))", "", Self.escaped(setting), "", table]
    for (title, text) in courses { lines += ["", "## \(title)", "", text] }
    for (plot, file) in zip(plots, plotFiles) { lines += ["", "![\(Self.escaped(plot.title))](\(file))"] }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The table alone, as it also goes to standard output.
  public var table: String {
    let columns = columns
    let best = columns.map(bestRows)
    let rows = runs.indices.map { row in
      columns.indices.map { column in
        let text = Self.escaped(columns[column].text(runs[row]))
        return best[column].contains(row) ? "**\(text)**" : text
      }
    }
    return Self.table(
      titles: columns.map { Self.escaped($0.title) }, isNumber: columns.map(\.isNumber), rows: rows)
  }

  /// Metric and losses by step, a table each.
  private var courses: [(title: String, table: String)] {
    let steps = sampledSteps(10)
    guard !steps.isEmpty else { return [] }
    let kinds: [(String, (RunRecord.Evaluation) -> Double?)] = [
      ("Validation \(metric) by step", { $0.value }), ("Validation loss by step", { $0.loss }),
      ("Training loss of the steps logged since the evaluation before, by step", { $0.trainingLoss }),
    ]
    return kinds.filter { _, value in runs.contains { $0.evaluations.contains { value($0) != nil } } }.map {
      title, value in
      let rows = runs.map { run in
        [Self.escaped(run.name)]
          + steps.map { step in
            run.evaluations.first { $0.step == step }.map { Self.score(value($0)) } ?? Self.unknown
          }
      }
      return (
        Self.escaped(title),
        Self.table(
          titles: ["run"] + steps.map(stepTitle), isNumber: [false] + steps.map { _ in true }, rows: rows)
      )
    }
  }

  private static func table(titles: [String], isNumber: [Bool], rows: [[String]]) -> String {
    let widths = titles.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return isNumber[column] ? space + cell : cell + space
      }
      return "| " + padded.joined(separator: " | ") + " |"
    }
    let rule = zip(widths, isNumber).map { String(repeating: "-", count: max($0 + 1, 2)) + ($1 ? ":" : "-") }
    return ([line(titles), "|" + rule.joined(separator: "|") + "|"] + rows.map(line)).joined(separator: "\n")
  }

  /// Text that Markdown shows as it stands, on one line.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\", "`", "*", "_", "[", "]", "|", "#", "~": result += "\\\(character)"
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case let other where other.isNewline: result += " "
      default: result.append(character)
      }
    }
    return result
  }
}
