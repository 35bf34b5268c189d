import Diagnostics

extension RunReport {
  /// The report as one page that needs nothing else: styles and pictures are inside, no script.
  ///
  /// It is well-formed XML besides, so other programs can read it.
  public var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <title>\(Markup.escaped(title))</title>
    <style>
    \(PlotStyle.root)
    \(PlotStyle.rules)
    \(PageStyle.rules)
    </style>
    </head>
    <body>
    <main>
    <header>
    <h1>\(Markup.escaped(title))</h1>
    <p class="setting">\(Markup.escaped(setting))</p>
    </header>
    \(tiles)
    \(overview)
    \(pictures)
    \(courses)
    <footer>Made by peft-dist from the folders of the runs. Bold: the best of a column.</footer>
    </main>
    </body>
    </html>

    """
  }

  // MARK: What stands out

  private var tiles: String {
    let smallest = runs.filter { $0.trainableParameters != nil }.min {
      ($0.trainableParameters ?? 0) < ($1.trainableParameters ?? 0)
    }
    let fastest = runs.filter { $0.secondsPerEpoch != nil }.min {
      ($0.secondsPerEpoch ?? 0) < ($1.secondsPerEpoch ?? 0)
    }
    let found: [(String, String?, RunRecord?)] = [
      ("best \(metric)", best.map { Self.score($0.bestValue) }, best),
      ("fewest trained parameters", smallest?.trainableParameters.map { ReadableNumbers.grouped($0) }, smallest),
      ("fastest epoch", fastest?.secondsPerEpoch.map(Self.duration), fastest),
    ]
    let shown = found.compactMap { title, value, run -> String? in
      guard let value, let run else { return nil }
      return """
        <div class="tile"><div class="label">\(Markup.escaped(title))</div>\
        <div class="value">\(Markup.escaped(value))</div>\
        <div class="who \(colour(of: run))">\(Markup.escaped(run.name))</div></div>
        """
    }
    return shown.isEmpty ? "" : "<section class=\"tiles\">\n" + shown.joined(separator: "\n") + "\n</section>"
  }

  private func colour(of run: RunRecord) -> String {
    "s\((runs.firstIndex { $0.name == run.name } ?? 0) % PlotStyle.colourCount)"
  }

  // MARK: The table

  private var overview: String {
    let columns = columns
    let best = columns.map(bestRows)
    let rows = runs.indices.map { row in
      let cells = columns.indices.map { column in
        let text = Markup.escaped(columns[column].text(runs[row]))
        guard column > 0 else {
          let note = runs[row].isFinished ? "" : " <span class=\"note\">not finished</span>"
          return "<th scope=\"row\"><span class=\"dot \(colour(of: runs[row]))\"></span>\(text)\(note)</th>"
        }
        let kinds = (best[column].contains(row) ? ["best"] : []) + (columns[column].isWords ? ["words"] : [])
        return kinds.isEmpty ? "<td>\(text)</td>" : "<td class=\"\(kinds.joined(separator: " "))\">\(text)</td>"
      }
      return "<tr>\(cells.joined())</tr>"
    }
    return card(table(titles: columns.map(\.title), rows: rows))
  }

  private func table(titles: [String], rows: [String]) -> String {
    let heads = titles.map { "<th scope=\"col\">\(Markup.escaped($0))</th>" }.joined()
    return """
      <div class="scroll" tabindex="0">
      <table>
      <thead><tr>\(heads)</tr></thead>
      <tbody>
      \(rows.joined(separator: "\n"))
      </tbody>
      </table>
      </div>
      """
  }

  private func card(_ content: String) -> String { "<section class=\"card\">\n\(content)\n</section>" }

  // MARK: Plots

  private var pictures: String {
    let plots = plots
    guard !plots.isEmpty else { return card("<p>No run was evaluated, so there is nothing to draw.</p>") }
    let figures = plots.map {
      "<figure class=\"card\">\n<figcaption>\(Markup.escaped($0.title))</figcaption>\n\($0.svg())\n</figure>"
    }
    return "<section class=\"plots\">\n" + figures.joined(separator: "\n") + "\n</section>"
  }

  // MARK: The course of each run

  private var courses: String {
    let shown = runs.filter { !$0.evaluations.isEmpty }.map { run in
      let rows = run.evaluations.map { evaluation in
        let numbers = [
          Self.score(evaluation.trainingLoss), Self.score(evaluation.loss), Self.score(evaluation.value),
          evaluation.trainingSeconds.map(Self.duration) ?? Self.unknown,
        ]
        let isBest = evaluation.step == run.bestStep ? " class=\"best\"" : ""
        return "<tr\(isBest)><th scope=\"row\">\(Markup.escaped(stepTitle(evaluation.step)))</th>"
          + numbers.map { "<td>\(Markup.escaped($0))</td>" }.joined() + "</tr>"
      }
      return """
        <details class="card">
        <summary><span class="dot \(colour(of: run))"></span>\(Markup.escaped(run.name)): step by step</summary>
        \(table(titles: ["step", "training loss", "validation loss", metric, "training time"], rows: rows))
        </details>
        """
    }
    return shown.joined(separator: "\n")
  }
}
