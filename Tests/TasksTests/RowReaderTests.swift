import Foundation
import Testing

@testable import Tasks

@Suite struct RowReaderTests {
  private func rows(_ name: String, _ content: Data) throws -> [[String]] {
    try Fixtures.withFolder { folder in
      let url = folder.appendingPathComponent(name)
      try content.write(to: url)
      var rows: [[String]] = []
      try RowReader.forEachRow(of: url, columns: [DataColumn("a"), DataColumn("b")]) { row in
        rows.append([String(row.line), row.text("a"), row.text("b")])
      }
      return rows
    }
  }

  private func rows(_ name: String, _ content: String) throws -> [[String]] { try rows(name, Data(content.utf8)) }

  /// The same rows, their lines aside, in every format and with what editors do to files.
  @Test(arguments: [
    ("f.jsonl", "{\"a\": \"x\", \"b\": \"y\"}\n{\"b\": \"\", \"a\": \"z\", \"c\": [1]}\n"),
    ("f.csv", "a,b\nx,y\nz,\n"),
    ("f.csv", "b,c,a\ny,1,x\n,2,z"),
    ("f.csv", "\u{FEFF}a,b\r\nx,y\r\nz,\r\n\r\n\r\n"),
    ("f.CSV", "\"a\",\"b\"\n\"x\",y\nz,\"\"\n"),
    ("f.tsv", "a\tb\nx\ty\nz\t\n"),
    ("f.tsv", "\u{FEFF}a\tb\r\nx\ty\r\nz\t"),
    ("f.tsv", "c\tc\ta\tb\n1\t1\tx\ty\n2\t2\tz\t\n"),
  ])
  func sameRows(name: String, content: String) throws {
    let found = try rows(name, content).map { Array($0.dropFirst()) }
    #expect(found == [["x", "y"], ["z", ""]], "\(content.debugDescription)")
  }

  /// A quoted text may hold commas, quotes and line breaks; lines are counted on through them.
  @Test func quotes() throws {
    #expect(
      try rows("f.csv", "a,b\n\"1,\"\"2\"\"\n\r\n3\",x\n\n".replacing("x\n\n", with: "x\n") + "p,\" q \"\n") == [
        ["2", "1,\"2\"\n\r\n3", "x"], ["5", "p", " q "],
      ])
    #expect(try rows("f.tsv", "a\tb\n\"x\ty\"\n") == [["2", "\"x", "y\""]])
  }

  /// A carriage return that ends no line is part of the text.
  @Test func carriageReturns() throws {
    #expect(try rows("f.tsv", "a\tb\nx\ry\tz\r\n") == [["2", "x\ry", "z"]])
    #expect(try rows("f.csv", "a,b\nx\ry,z\r\n") == [["2", "x\ry", "z"]])
  }

  @Test(arguments: [
    ("f.csv", "a,b\nx,y\n\"z,w\nv", "f.csv:3: expected a closing quote, found the end of the file"),
    ("f.csv", "a,b\nx,\"y\"z\n", "f.csv:2: expected a comma or the end of the line behind a closing quote"),
    ("f.csv", "a,b\nx,y \"z\"\n", "f.csv:2: expected a comma or the end of the line, found a quote"),
    (
      "f.csv", "a,b\n\"x\n\",y\nz\n",
      "f.csv:4: expected 2 columns as in the first line, found 1; a text that holds a comma"
    ),
    ("f.csv", "a,b\nx,y,z\n", "f.csv:2: expected 2 columns as in the first line, found 3"),
    ("f.csv", "a,b\nx,y\n\nz,w\n", "f.csv:3: expected a row, found an empty line"),
    ("f.csv", "\na,b\nx,y\n", "f.csv:1: expected a row, found an empty line"),
    ("f.csv", "a;b\nx;y\n", "f.csv:1: the first line names no column \"a\", which this task needs; it names \"a;b\""),
    ("f.csv", "a,b,a\nx,y,z\n", "f.csv:1: the first line names column \"a\" 2 times"),
    ("f.csv", "", "f.csv holds no examples"),
    ("f.csv", "\u{FEFF}", "f.csv holds no examples"),
    ("f.csv", "\n\n", "f.csv holds no examples"),
    ("f.csv", "a,b\n", "f.csv holds no examples"),
    ("f.tsv", "a\tb\nx\ty\tz\n", "f.tsv:2: expected 2 columns as in the first line, found 3; a tab or a line break"),
    ("f.tsv", "a\tb\n\"x\ny\"\tz\n", "f.tsv:2: expected 2 columns as in the first line, found 1"),
    ("f.tsv", "a b\nx y\n", "it names \"a b\""),
    ("f.tsv", "", "f.tsv holds no examples"),
    ("f.tsv", "a\tb\n\nx\ty\n", "f.tsv:2: expected a row, found an empty line"),
  ])
  func broken(name: String, content: String, message: String) throws {
    let error = #expect(throws: DataError.self) { try rows(name, content) }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test func notUTF8() throws {
    for (name, separator) in [("f.csv", ","), ("f.tsv", "\t")] {
      for field in ["", "\""] where field.isEmpty || name == "f.csv" {
        var bytes = Data("a\(separator)b\nx\(separator)\(field)".utf8)
        bytes.append(contentsOf: [0xC3, 0x28])
        bytes.append(contentsOf: Data("\(field)\n".utf8))
        let error = #expect(throws: DataError.self) { try rows(name, bytes) }
        #expect(error?.description.contains("\(name):2: the text is not valid UTF-8") == true)
      }
    }
    // UTF-16 with its byte order mark.
    let error = #expect(throws: DataError.self) { try rows("f.csv", Data([0xFF, 0xFE, 0x61, 0, 0x0A, 0])) }
    #expect(error?.description.contains("f.csv:1: the text is not valid UTF-8") == true)
  }

  @Test func otherFiles() throws {
    try Fixtures.withFolder { folder in
      for name in ["f.csv", "f.tsv", "f.jsonl"] {
        let url = folder.appendingPathComponent(name)
        #expect(throws: DataError.missing(url, expected: "the file does not exist")) {
          try RowReader.forEachRow(of: url, columns: []) { _ in }
        }
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let error = #expect(throws: DataError.self) { try RowReader.forEachRow(of: url, columns: []) { _ in } }
        #expect(error?.description.contains("cannot read") == true)
      }
    }
  }

  /// A directory is looked through by name first, then by format.
  @Test func fileNames() throws {
    #expect(DataSplit.train.fileNames == ["train.jsonl", "train.csv", "train.tsv"])
    let validation = DataSplit.validation.fileNames
    #expect(validation.first == "validation.jsonl" && validation.last == "dev.tsv")
    try Fixtures.withFolder(["dev.tsv": "", "test.csv": ""]) { folder in
      let task = try TaskCatalogue.task(named: "rte")
      #expect(task.location(of: .validation, in: folder)?.lastPathComponent == "dev.tsv")
      #expect(task.location(of: .test, in: folder)?.lastPathComponent == "test.csv")
      let error = #expect(throws: DataError.self) { try task.requiredLocation(of: .train, in: folder) }
      let expected = "expected train.jsonl, train.csv or train.tsv, or name the file itself"
      #expect(error?.description.contains(expected) == true)
    }
  }
}
