import Foundation

/// Plain texts for pre-training and for vocabularies: lines of a text file, or columns of a file of rows.
public enum TextCorpus {
  /// The texts of `url` in the order of the file. A name that ends in `.jsonl`, `.csv` or `.tsv` means rows, whose `columns` are texts of
  /// their own; of several columns a row may lack some. Of any other file each line is a text, as the lines of a table are read.
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

  /// The lines of a text file as every reader of data takes them: a byte order mark in front is no part of the first,
  /// `\r\n` ends a line as `\n` does.
  ///
  /// - Throws: `DataError`, naming file and line.
  public static func lines(of url: URL) throws -> [String] { try lines(DataFolder.bytes(of: url), url: url) }

  /// The lines of `data`, which came from `url`.
  public static func lines(_ data: Data, url: URL) throws -> [String] {
    try data.withUnsafeBytes { raw in
      var bytes = TableBytes(raw.bindMemory(to: UInt8.self), url: url)
      var lines: [String] = []
      while !bytes.isAtEnd {
        let start = bytes.position
        while !bytes.isAtEndOfLine { bytes.advance() }
        lines.append(try bytes.text(start..<bytes.position, line: lines.count + 1))
        bytes.passEndOfLine()
      }
      return lines
    }
  }
}
