import Checkpoints
import Foundation

extension RunReport {
  /// Writes `NAME.json`, `NAME.md` with the pictures in `plots/`, and `NAME.html` into a folder that is there.
  ///
  /// - Throws: `CheckpointError.system` where that cannot be written.
  public func write(to folder: URL, name: String) throws {
    let plots = plots
    let pictures = folder.appendingPathComponent("plots")
    try makeFolder(pictures)
    for plot in plots {
      try Self.write(plot.svg(standsAlone: true) + "\n", to: pictures.appendingPathComponent("\(plot.name).svg"))
    }
    try AtomicFile.write(json, to: folder.appendingPathComponent("\(name).json"))
    try Self.write(
      markdown(plotFiles: plots.map { "plots/\($0.name).svg" }), to: folder.appendingPathComponent("\(name).md"))
    try Self.write(html, to: folder.appendingPathComponent("\(name).html"))
  }

  private static func write(_ text: String, to url: URL) throws { try AtomicFile.write(Array(text.utf8), to: url) }
}
