import Dispatch
import Foundation
import Synchronization
import Testing
import Tokenization

@testable import Tasks

@Suite struct EncodedDatasetTests {
  private let encoding = ExampleEncoding(source: 4, target: 2)
  private let tokenizer = WordLengthTokenizer()

  private func examples(_ count: Int) -> [Example] {
    (0..<count).map { index in
      Example(
        index: index, id: "\(index)",
        source: [String](repeating: "word", count: index % 7).joined(separator: " "),
        target: "some answer".prefix(4 + index % 8).description)
    }
  }

  private func lines(_ count: Int) -> String {
    examples(count).map { #"{"source": "\#($0.source)", "target": "\#($0.target)"}"# }.joined(separator: "\n")
  }

  @Test func cutKeepsTheEnd() {
    let example = Example(index: 3, id: "", source: "a bb ccc dddd", target: "yes it is")
    #expect(
      encoding.encode(example, with: tokenizer)
        == EncodedExample(
          index: 3, source: [11, 12, 13, 1], target: [13, 1], uncutSourceLength: 5, uncutTargetLength: 4))
  }

  @Test func bothFormsAgree() throws {
    let expected = examples(150).map { encoding.encode($0, with: tokenizer) }
    let onDemand = EncodedDataset(onDemand: examples(150), tokenizer: tokenizer, encoding: encoding)
    try Fixtures.withFolder(["train.jsonl": lines(150)]) { folder in
      let whole = try dataset(folder, threads: 3)
      #expect(whole.count == 150 && onDemand.count == 150)
      for index in (0..<150).reversed() {
        #expect(whole[index] == expected[index])
        #expect(onDemand[index] == expected[index])
        #expect(whole.lengths(at: index) == onDemand.lengths(at: index))
      }
      #expect(
        whole.lengths(of: [6, 2]) == [
          .init(source: 4, target: 2, uncutSource: 7, uncutTarget: 3),
          .init(source: 3, target: 2, uncutSource: 3, uncutTarget: 3),
        ])
    }
  }

  private func dataset(
    _ folder: URL, threads: Int = 2, tokenizer: WordLengthTokenizer = WordLengthTokenizer(),
    options: TextOptions = TextOptions(), encoding: ExampleEncoding? = nil, warn: (String) -> Void = { _ in },
    read: (() -> Void)? = nil
  ) throws -> EncodedDataset {
    let url = folder.appendingPathComponent("train.jsonl")
    let task = TextToTextTask(options: options)
    return try EncodedDataset(
      wholeSetAt: url, task: task, tokenizer: tokenizer, encoding: encoding ?? self.encoding,
      cache: TokenCache(directory: folder.appendingPathComponent("cache")), threads: threads, warn: warn
    ) {
      read?()
      return try task.examples(at: url)
    }
  }

  private func tables(_ folder: URL) throws -> [URL] {
    let cache = folder.appendingPathComponent("cache/tokens")
    return try FileManager.default.contentsOfDirectory(atPath: cache.path)
      .filter { $0.hasSuffix(".tokens") }.map { cache.appendingPathComponent($0) }
  }

  @Test func theSecondTimeNothingIsRead() throws {
    try Fixtures.withFolder(["train.jsonl": lines(20)]) { folder in
      var reads = 0
      for _ in 0..<3 { _ = try dataset(folder, read: { reads += 1 }) }
      #expect(reads == 1)
      #expect(try tables(folder).count == 1)
    }
  }

  @Test func whateverTheIDsDependOnMakesAnotherTable() throws {
    try Fixtures.withFolder(["train.jsonl": lines(20)]) { folder in
      var reads = 0
      func read() { reads += 1 }
      _ = try dataset(folder, read: read)
      _ = try dataset(folder, tokenizer: WordLengthTokenizer(identity: "other"), read: read)
      _ = try dataset(folder, options: TextOptions(lowercase: true), read: read)
      _ = try dataset(folder, options: TextOptions(stripHTML: true), read: read)
      _ = try dataset(folder, options: TextOptions(form: .continuation), read: read)
      _ = try dataset(folder, encoding: ExampleEncoding(form: .continuation, source: 4, target: 2), read: read)
      _ = try dataset(folder, encoding: ExampleEncoding(source: 5, target: 2), read: read)
      _ = try dataset(folder, encoding: ExampleEncoding(source: 4, target: 3), read: read)
      #expect(reads == 8)
      // The content counts, not the time of change or the size.
      let url = folder.appendingPathComponent("train.jsonl")
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: url.path)
      _ = try dataset(folder, read: read)
      #expect(reads == 8)
      let time = try FileManager.default.attributesOfItem(atPath: url.path)[.modificationDate]
      var text = try Data(contentsOf: url)
      let place = try #require(text.lastIndex(where: { !Array("\"} \n".utf8).contains($0) }))
      text[place] = UInt8(ascii: "c")
      try text.write(to: url)
      try FileManager.default.setAttributes([.modificationDate: time ?? Date()], ofItemAtPath: url.path)
      _ = try dataset(folder, read: read)
      #expect(reads == 9)
      try Data(lines(21).utf8).write(to: url)
      #expect(try dataset(folder, read: read).count == 21)
      #expect(reads == 10)
    }
  }

  /// A table that was cut short, damaged in any one place, or replaced by another file, is made anew.
  @Test func damagedTables() throws {
    try Fixtures.withFolder(["train.jsonl": lines(20)]) { folder in
      let expected = examples(20).map { encoding.encode($0, with: tokenizer) }
      _ = try dataset(folder)
      let file = try #require(try tables(folder).first)
      let whole = try Data(contentsOf: file)
      var damages = [Data(), whole.prefix(10), whole.prefix(whole.count - 4), whole + [0, 0, 0, 0]]
      for place in [0, 9, 20, 33, 41, 49, 64, 72, whole.count / 2, whole.count - 1] {
        var damaged = whole
        damaged[place] ^= 0x10
        damages.append(damaged)
      }
      for damaged in damages {
        try Data(damaged).write(to: file)
        var warnings: [String] = []
        var reads = 0
        let made = try dataset(folder, warn: { warnings.append($0) }, read: { reads += 1 })
        #expect(reads == 1 && warnings.count == 1 && warnings[0].contains("is damaged"))
        #expect((0..<20).map { made[$0] } == expected)
        #expect(try Data(contentsOf: file) == whole)
      }
    }
  }

  @Test func tablesOfOtherData() throws {
    let (key, bytes) = table()
    #expect(try TokenTable(bytes: bytes, key: key).example(1).target == [8, 1])
    var other = key
    other.add("other")
    #expect(throws: TokenTable.Defect.otherKey) { try TokenTable(bytes: bytes, key: other) }
    #expect(throws: TokenTable.Defect.tooShort) { try TokenTable(bytes: bytes.prefix(63), key: key) }
  }

  /// The checksum is no protection against a table that was made wrong: starts must ascend and stay inside.
  @Test(arguments: [(0, 1), (1, 5), (2, 100), (4, 1), (3, -1)]) func disorderedStarts(item: Int, value: Int)
    throws
  {
    let key: ContentKey
    var bytes: Data
    (key, bytes) = table()
    func put(_ value: UInt64, at offset: Int) {
      withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
    }
    put(UInt64(bitPattern: Int64(value)), at: 64 + 8 * item)
    put(TokenTable.checksum(of: bytes.dropFirst(64)), at: 48)
    let damaged = bytes
    #expect(throws: TokenTable.Defect.disorder) { try TokenTable(bytes: damaged, key: key) }
  }

  /// Two examples with sources and targets of two tokens each.
  private func table() -> (ContentKey, Data) {
    let examples = (0..<2).map {
      EncodedExample(index: $0, source: [5, 1], target: [7 + Int32($0), 1], uncutSourceLength: 2)
    }
    return (ContentKey(), TokenTable.serialize(examples, key: ContentKey()))
  }

  @Test func unusableCacheFolder() throws {
    try Fixtures.withFolder(["train.jsonl": lines(20), "cache": "a file where the folder should be"]) {
      folder in
      var warnings: [String] = []
      let made = try dataset(folder, warn: { warnings.append($0) })
      #expect((0..<20).map { made[$0] } == examples(20).map { encoding.encode($0, with: tokenizer) })
      #expect(warnings.count == 1 && warnings[0].contains("the tokens stay in memory"))
    }
  }

  @Test func leftoversOfKilledWritersGo() throws {
    try Fixtures.withFolder(["train.jsonl": lines(20)]) { folder in
      _ = try dataset(folder)
      let file = try #require(try tables(folder).first)
      let leftover = file.deletingLastPathComponent().appendingPathComponent(
        ".\(file.lastPathComponent).partial-99999-1")
      try Data("x".utf8).write(to: leftover)
      try FileManager.default.removeItem(at: file)
      _ = try dataset(folder)
      #expect(!FileManager.default.fileExists(atPath: leftover.path))
      #expect(FileManager.default.fileExists(atPath: file.path))
    }
  }

  /// Whoever comes while the table is being made waits and then maps it.
  @Test func manyAtOnceMakeItOnce() throws {
    try Fixtures.withFolder(["train.jsonl": lines(200)]) { folder in
      let reads = Mutex(0)
      let sums = Mutex<[Int]>([])
      DispatchQueue.concurrentPerform(iterations: 4) { _ in
        let made = try? dataset(
          folder,
          read: {
            reads.withLock { $0 += 1 }
            Thread.sleep(forTimeInterval: 0.05)
          })
        let sum = made.map { made in (0..<made.count).reduce(0) { $0 + made[$1].source.count } }
        sums.withLock { $0.append(sum ?? -1) }
      }
      #expect(reads.withLock { $0 } == 1)
      let expected = examples(200).reduce(0) { $0 + encoding.encode($1, with: tokenizer).source.count }
      #expect(sums.withLock { $0 } == [Int](repeating: expected, count: 4))
    }
  }

  @Test func unreadableData() throws {
    try Fixtures.withFolder { folder in
      #expect(throws: DataError.self) { try dataset(folder) }
    }
  }

  @Test func wholeSetRule() {
    #expect(!EncodedDataset.needsWholeSet(visits: 49, count: 100))
    #expect(EncodedDataset.needsWholeSet(visits: 50, count: 100))
  }

  @Test func statistics() throws {
    let dataset = EncodedDataset(onDemand: examples(14), tokenizer: tokenizer, encoding: encoding)
    // Source lengths, cut at 4: 1 2 3 4 4 4 4 twice; of 1 … 7 three are cut, twice. Targets: one or two
    // words.
    let statistics = LengthStatistics(dataset, indices: 0..<14)
    #expect(statistics.count == 14 && statistics.medianSource == 4 && statistics.maxSource == 4)
    #expect(statistics.meanSource == 44.0 / 14 && statistics.meanTarget == 2)
    #expect(statistics.cutCount == 6 && statistics.cutShare == 6.0 / 14)
    #expect(
      statistics.description == "14 examples; source tokens: mean 3.1, median 4, 90 % up to 4, longest 4; "
        + "6 cut (42.9 %); target tokens: mean 2.0, longest 2; 10 cut (71.4 %)")
    let lengths = (1...10).map { EncodedDataset.Lengths(source: $0, target: 1, uncutSource: $0, uncutTarget: 1) }
    #expect(LengthStatistics(lengths.shuffled()).source90 == 9)
    #expect(LengthStatistics(lengths).medianSource == 5.5)
    #expect(LengthStatistics([]).description == "no examples")
  }
}
