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

  @Argument(help: ArgumentHelp("Output folders of training runs.", valueName: "run"))
  var runs: [String]
  @Option(help: ArgumentHelp("Folder for report.md, report.json and report.html.", valueName: "dir"))
  var output: String?
  @Option(help: ArgumentHelp("Heading of the report.", valueName: "text"))
  var title = "Training runs side by side"

  func run() throws {
    let folders = runs.map { URL(fileURLWithPath: $0).standardizedFileURL }
    let names = folders.map(\.lastPathComponent)
    // Folders of one name are told apart by what lies above them.
    let records = try zip(folders, names).map { folder, name in
      let isUnique = names.count { $0 == name } == 1
      let above = folder.deletingLastPathComponent().lastPathComponent
      return try RunRecord(folder: folder, name: isUnique ? name : "\(above)/\(name)")
    }
    let report = try RunReport(title: title, runs: records)
    print(report.table)
    guard let output else { return }
    let target = URL(fileURLWithPath: output)
    try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
    try report.write(to: target, name: "report")
    print("")
    print("report  \(target.appendingPathComponent("report.html").path)")
  }
}
