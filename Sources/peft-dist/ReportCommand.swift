import ArgumentParser
import Checkpoints
import Foundation
import Reporting

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Put finished runs side by side: table and plots as Markdown, JSON and one HTML page.",
    discussion: """
      Reads nothing but summary.json and metrics.jsonl of the run folders. Without --output the table goes to standard output.

        peft-dist report runs/prompt runs/lora --output runs/report
      """)

  @Argument(
    help: ArgumentHelp("Output folders of training runs of one task; one given twice counts once.", valueName: "run"))
  var runs: [String]
  @Option(help: ArgumentHelp("Folder for report.md, report.json and report.html.", valueName: "dir"))
  var output: String?
  @Option(help: ArgumentHelp("Heading of the report.", valueName: "text"))
  var title = "Training runs side by side"

  func run() throws {
    var folders: [URL] = []
    for folder in runs.map({ URL(fileURLWithPath: $0).standardizedFileURL }) where !folders.contains(folder) {
      folders.append(folder)
    }
    let records = try zip(folders, RunRecord.names(of: folders)).map { try RunRecord(folder: $0, name: $1) }
    let report = try RunReport(title: title, runs: records)
    print(report.table)
    guard let output else { return }
    let target = URL(fileURLWithPath: output)
    try makeFolder(target)
    try report.write(to: target, name: "report")
    print("")
    print("report  \(target.appendingPathComponent("report.html").path)")
  }
}
