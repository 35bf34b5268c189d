import Foundation
import Testing

/// The layer table of docs/architecture.md, held against the folders and imports of Sources.
///
/// SwiftPM lets a target import any other that happens to be built, so the direction of the arrows needs a
/// test.
@Suite struct ArchitectureTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test func everyTargetIsInTheTableAndTheTableNamesNoOther() throws {
    let layers = try LayerTable(page: Self.page()).layers
    let folders = try FileManager.default.contentsOfDirectory(atPath: Self.sources.path)
      .filter { !$0.hasPrefix(".") }
    #expect(layers.keys.sorted() == folders.sorted(), "docs/architecture.md (left) and Sources (right)")
  }

  @Test func targetsImportOnlyFromLowerLayers() throws {
    let table = try LayerTable(page: Self.page())
    let files = try Self.swiftFiles()
    #expect(files.count > 50, "only \(files.count) files found under \(Self.sources.path)")
    let wrong = files.flatMap { table.violations(file: $0.name, target: $0.target, text: $0.text) }
    #expect(wrong.isEmpty, "\(wrong.joined(separator: "\n"))")
  }

  @Test func aWrongImportIsNamedWithFileLineAndEdge() throws {
    let table = try LayerTable(
      page: """
        | layer | target | responsibility |
        |---|---|---|
        | 0 | `CLow` | C |
        | 1 | `Left` | here |
        | 1 | `Right` | there |
        | 2 | `peft-top` | all |
        """)
    let text = """
      import Foundation
      // import Right
      import CLow
        @preconcurrency import Right
      public import struct Right.Thing
      import Unlisted
      @testable import peft_top
      let word = "import Right"
      """
    #expect(
      table.violations(file: "Left/A.swift", target: "Left", text: text) == [
        "Left/A.swift:4: Left (layer 1) imports Right (layer 1)",
        "Left/A.swift:5: Left (layer 1) imports Right (layer 1)",
        "Left/A.swift:7: Left (layer 1) imports peft-top (layer 2)",
      ])
    #expect(table.violations(file: "T/A.swift", target: "peft-top", text: text).isEmpty == false)
    #expect(table.violations(file: "T/B.swift", target: "peft-top", text: "import Left\nimport CLow").isEmpty)
    #expect(
      table.violations(file: "X/A.swift", target: "X", text: "import CLow") == [
        "X/A.swift:1: X (not in the table) imports CLow (layer 0)"
      ])
  }

  @Test func aTableThatCannotBeReadIsAnError() {
    #expect(throws: LayerTable.Problem.self) { try LayerTable(page: "no table here") }
    #expect(throws: LayerTable.Problem.self) {
      try LayerTable(page: "| layer | target | responsibility |\n|---|---|---|\n| x | `A` | b |")
    }
    #expect(throws: LayerTable.Problem.self) {
      try LayerTable(
        page: "| layer | target | responsibility |\n|---|---|---|\n| 1 | `A` | b |\n| 2 | `A` | c |")
    }
  }

  private static let sources = root.appending(path: "Sources")

  private static func page() throws -> String {
    try String(contentsOf: root.appending(path: "docs/architecture.md"), encoding: .utf8)
  }

  private static func swiftFiles() throws -> [(name: String, target: String, text: String)] {
    let paths = try #require(FileManager.default.enumerator(atPath: sources.path))
    return try paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.sorted().map { path in
      let target = String(path.prefix { $0 != "/" })
      let text = try String(contentsOf: sources.appending(path: path), encoding: .utf8)
      return ("Sources/\(path)", target, text)
    }
  }
}

/// The table with the heading `| layer | target | responsibility |`: one target in backquotes on each row.
private struct LayerTable {
  let layers: [String: Int]

  struct Problem: Error, CustomStringConvertible {
    let description: String
  }

  init(page: String) throws {
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false)
    guard let head = lines.firstIndex(of: "| layer | target | responsibility |") else {
      throw Problem(description: "no line '| layer | target | responsibility |'")
    }
    var layers: [String: Int] = [:]
    for line in lines[(head + 1)...].dropFirst().prefix(while: { $0.hasPrefix("|") }) {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 3, let layer = Int(cells[0]), cells[1].hasPrefix("`"), cells[1].hasSuffix("`"),
        layers.updateValue(layer, forKey: cells[1].filter { $0 != "`" }) == nil
      else { throw Problem(description: "not a row of its own for one target: \(line)") }
    }
    guard !layers.isEmpty else { throw Problem(description: "the table has no rows") }
    self.layers = layers
  }

  /// Imports of a file that reach a target of its own layer or a higher one: `FILE:LINE: A (layer 2)
  /// imports B (layer 2)`.
  func violations(file: String, target: String, text: String) -> [String] {
    let modules = Dictionary(uniqueKeysWithValues: layers.keys.map { ($0.replacing("-", with: "_"), $0) })
    var found: [String] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      guard let module = Self.importedModule(line), let imported = modules[module] else { continue }
      if let own = layers[target], let other = layers[imported], other < own { continue }
      found.append("\(file):\(index + 1): \(place(of: target)) imports \(place(of: imported))")
    }
    return found
  }

  private func place(of target: String) -> String {
    "\(target) (\(layers[target].map { "layer \($0)" } ?? "not in the table"))"
  }

  /// `M` of `import M`, with any attributes, access level, kind of declaration or submodule around it.
  private static func importedModule(_ line: Substring) -> String? {
    let words = line.split(whereSeparator: \.isWhitespace)
    guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
      words[..<place].allSatisfy({ $0.hasPrefix("@") || accessLevels.contains(String($0)) })
    else { return nil }
    let hasKind = declarationKinds.contains(String(words[place + 1])) && place + 2 < words.count
    return String(words[place + (hasKind ? 2 : 1)].prefix { $0 != "." && $0 != ";" })
  }

  private static let accessLevels: Set = ["public", "package", "internal", "fileprivate", "private"]
  private static let declarationKinds: Set = [
    "struct", "class", "enum", "protocol", "typealias", "func", "let", "var",
  ]
}
