import Diagnostics
import Foundation

/// Plain texts for pre-training and for vocabularies: lines of a text file, or columns of a file of JSON lines.
public enum TextCorpus {
  /// The texts of `url` in the order of the file. A name that ends with `.jsonl` means one JSON object a line, whose `columns` are
  /// texts of their own; of any other file each line is a text.
  ///
  /// - Throws: `DataError`, naming file and line.
  public static func texts(of url: URL, columns: [String]) throws -> [String] {
    var texts: [String] = []
    guard url.pathExtension == "jsonl" else {
      try forEachLine(of: url) { texts.append($0) }
      return texts
    }
    try JSONLines.forEachRow(of: url, as: TextColumns.self) { row, line in
      for column in columns {
        guard let text = row.texts[column] else {
          throw row.others.contains(column)
            ? DataError.wrongType(url, line: line, column: column, expected: "text")
            : DataError.missingColumn(url, line: line, column: column)
        }
        texts.append(text)
      }
    }
    return texts
  }

  private static func forEachLine(of url: URL, _ body: (String) -> Void) throws {
    guard DataFolder.exists(url) else { throw DataError.missing(url, expected: "the file does not exist") }
    let data: Data
    do { data = try Data(contentsOf: url, options: .mappedIfSafe) } catch {
      throw DataError.unreadable(url, reason: JSONLines.reason(error))
    }
    for (number, line) in data.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      guard let text = line.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
        throw DataError.invalidUTF8(url, line: number + 1)
      }
      body(text)
    }
  }
}

/// The columns of a row that are texts, and the names of the others.
private struct TextColumns: Decodable {
  private(set) var texts: [String: String] = [:]
  private(set) var others: Set<String> = []

  private struct Column: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: any Decoder) throws {
    let row = try decoder.container(keyedBy: Column.self)
    for column in row.allKeys {
      if let text = try? row.decode(String.self, forKey: column) {
        texts[column.stringValue] = text
      } else {
        others.insert(column.stringValue)
      }
    }
  }
}
