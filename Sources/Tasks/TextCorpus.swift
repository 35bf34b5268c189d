import Foundation

/// Plain texts for pre-training and for vocabularies: lines of a text file, or columns of a file of rows.
public enum TextCorpus {
  /// The texts of `url` in the order of the file. A name that ends in `.jsonl`, `.csv` or `.tsv` means rows, whose `columns` are texts of
  /// their own; of several columns a row may lack some. Of any other file each line is a text.
  ///
  /// - Throws: `DataError`, naming file and line.
  public static func texts(of url: URL, columns: [String]) throws -> [String] {
    guard DataFormat(rawValue: url.pathExtension.lowercased()) != nil else { return try lines(of: url) }
    var texts: [String] = []
    let wanted = columns.map { DataColumn($0, isRequired: columns.count == 1) }
    try RowReader.forEachRow(of: url, columns: wanted) { row in
      let found = columns.compactMap(row.optionalText)
      guard !found.isEmpty else {
        throw DataError.missingColumn(url, line: row.line, column: columns.joined(separator: "\" or \""))
      }
      texts += found
    }
    return texts
  }

  private static func lines(of url: URL) throws -> [String] {
    try DataFolder.bytes(of: url).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated().map {
      number, line in
      guard let text = line.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
        throw DataError.invalidUTF8(url, line: number + 1)
      }
      return text
    }
  }
}
