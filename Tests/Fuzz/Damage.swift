import Foundation

/// What the bytes of a file are, so that damage reaches beyond its outermost reader.
enum Form {
  case bytes
  case json
  /// Lines of any text: CSV, YAML, merges, grammars.
  case lines
  /// A JSON object in each line.
  case jsonLines
  case safetensors
}

/// Values that readers of numbers and texts are known to trip over.
enum Hostile {
  static let numbers = [
    "0", "-1", "1", "2", "3", "7", "-0.0", "0.5", "1.5", "1e-300", "5e-324", "1e308", "-1e308", "1e400", "1e38",
    "3.5e38", "NaN",
    "Infinity", "-Infinity", "nan", "inf", "2147483647", "2147483648", "4294967296", "4611686018427387904",
    "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "1e19", "0x1A", "١",
    "1_000", "",
    "16777217", "4194304", "1048576", "65536",
  ]
  static let texts = [
    "", " ", "\u{0}", "../../etc/passwd", "/dev/zero", "a\nb", "a\r\nb", "e\u{301}", "\u{FEFF}", "\u{202E}x", "𝔘", "👩‍👩‍👧‍👦",
    "(a*)*b", "((a+)+)+$",
    "[", "(?=", "(?<x>", "\\", ".*.*.*.*.*.*=.*", "q,v", "none", "true", "null", "%s%n", "$(id)", "`id`", "'; --",
    "<s>", "</s>",
    "<extra_id_0>", "<pad>", "<mask>", "all-linear", "lora", "gelu_new", "relu", "t5", "mt5", "gpt2", "roberta", "bert",
  ]

  static func text(_ draw: inout Draw) -> String {
    switch draw.below(10) {
    case 0:
      String(
        repeating: draw.element(of: ["a", "é", "[", "(", "ab", "\u{301}", " ", ".", "<mask>", "br "]),
        count: draw.element(of: [100, 5000, 60_000]))
    case 1: (0..<draw.element(of: [10, 1000])).map { _ in draw.element(of: texts) }.joined(separator: " ")
    default: draw.element(of: texts)
    }
  }

  /// A JSON value in its own notation.
  static func json(_ draw: inout Draw) -> String {
    switch draw.below(12) {
    case 0...5: draw.element(of: numbers.dropLast(0).map { $0.isEmpty ? "null" : $0 })
    case 6...7: quoted(text(&draw))
    case 8: draw.element(of: ["true", "false", "null", "[]", "{}", "[[]]", "[null]", "[0,0]", "{\"a\":{}}"])
    case 9:
      String(repeating: draw.chance(50) ? "[" : "{\"a\":", count: draw.element(of: [20, 300, 200_000]))
    case 10:
      "["
        + Array(repeating: draw.element(of: ["0", "1e308", "\"a\"", "[]"]), count: draw.element(of: [3, 1000])).joined(
          separator: ",") + "]"
    default: draw.element(of: ["\"\\ud800\"", "\"\\u0000\"", "\"unterminated", "nul", "-", "01", "1.", "\"\\x\""])
    }
  }

  private static func quoted(_ text: String) -> String {
    String(decoding: (try? JSONEncoder().encode(text)) ?? Data("\"\"".utf8), as: UTF8.self)
  }
}

/// Contents of a file, with some of it changed.
func damaged(_ contents: [UInt8], _ form: Form, _ draw: inout Draw) -> [UInt8] {
  guard !draw.isHarmless else { return contents }
  if form != .bytes, draw.chance(15) { return damagedBytes(contents, &draw) }
  var result = contents
  for _ in 0..<(draw.chance(70) ? 1 : 3) {
    switch form {
    case .bytes: result = damagedBytes(result, &draw)
    case .json: result = damagedJSON(result, &draw)
    case .lines, .jsonLines: result = damagedLines(result, form, &draw)
    case .safetensors: result = damagedSafetensors(result, &draw)
    }
  }
  return result
}

private func damagedBytes(_ contents: [UInt8], _ draw: inout Draw) -> [UInt8] {
  var bytes = contents
  guard !bytes.isEmpty else { return [UInt8](repeating: UInt8(draw.below(256)), count: draw.below(100)) }
  for _ in 0...draw.below(3) where !bytes.isEmpty {
    let place = draw.chance(40) ? draw.below(min(bytes.count, 64)) : draw.below(bytes.count)
    let length = min(bytes.count - place, 1 + draw.below(draw.element(of: [4, 64, 4096])))
    switch draw.below(11) {
    case 0...2: bytes[place] ^= 1 << UInt8(draw.below(8))
    case 3: bytes[place] = draw.element(of: [0, 0xFF, 0x80, 0x0A, 0x0D, 0x22, 0x7F, 0xC0, 0xF5])
    case 4: bytes.removeSubrange(place...)
    case 5: bytes.removeSubrange(place..<place + length)
    case 6: bytes.insert(contentsOf: Array(bytes[place..<place + length]), at: place)
    case 7: bytes.insert(contentsOf: (0..<length).map { _ in UInt8(draw.below(256)) }, at: place)
    case 8:
      // A count or offset, little-endian.
      let value = draw.element(of: [0, 1, UInt64.max, 1 << 63, 1 << 62, 1 << 32, UInt64(UInt32.max), 1 << 31, 1 << 20])
      for byte in 0..<draw.element(of: [4, 8]) where place / 4 * 4 + byte < bytes.count {
        bytes[place / 4 * 4 + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
      }
    case 9:
      let block = Array(bytes[place..<place + min(length, 1000)])
      bytes.insert(contentsOf: Array(repeating: block, count: draw.element(of: [10, 1000])).joined(), at: place)
    default:
      bytes = draw.element(of: [
        [], [0xEF, 0xBB, 0xBF] + bytes, [0x20] + bytes, bytes + [0], bytes.map { $0 == 0x0A ? 0x0D : $0 },
        [0xFF, 0xFE] + bytes,
      ])
    }
  }
  return bytes
}

/// Ranges of the values and keys in some JSON, found by its marks alone, so that damaged JSON can be damaged again.
private func values(_ bytes: [UInt8]) -> [Range<Int>] {
  var found: [Range<Int>] = []
  var position = 0
  while position < bytes.count {
    let start = position
    switch bytes[position] {
    case UInt8(ascii: "\""):
      position += 1
      while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
        position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
      }
      position = min(position + 1, bytes.count)
      found.append(start..<position)
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "a")...UInt8(ascii: "z"):
      while position < bytes.count, !" \n\t,:{}[]\"".utf8.contains(bytes[position]) { position += 1 }
      found.append(start..<position)
    default: position += 1
    }
  }
  return found
}

private func damagedJSON(_ contents: [UInt8], _ draw: inout Draw) -> [UInt8] {
  // Large vocabularies: a part of them is enough to choose from.
  let start = contents.count > 40_000 && draw.chance(70) ? draw.below(contents.count - 20_000) : 0
  let part = Array(contents[start..<min(contents.count, start + 40_000)])
  let places = values(part)
  guard !places.isEmpty else { return damagedBytes(contents, &draw) }
  let place = draw.element(of: places)
  let range = start + place.lowerBound..<start + place.upperBound
  var bytes = contents
  switch draw.below(8) {
  case 0:
    // Another value of the same file.
    bytes.replaceSubrange(range, with: part[draw.element(of: places)])
  case 1:
    // The member or element after it is gone.
    let end = bytes[range.upperBound...].firstIndex(of: UInt8(ascii: ",")) ?? range.upperBound
    bytes.removeSubrange(range.lowerBound..<min(end + 1, bytes.count))
  case 2:
    // A member twice.
    let end = bytes[range.upperBound...].firstIndex(of: UInt8(ascii: ",")) ?? range.upperBound
    bytes.insert(contentsOf: Array(bytes[range.lowerBound..<min(end + 1, bytes.count)]), at: range.lowerBound)
  default: bytes.replaceSubrange(range, with: Array(Hostile.json(&draw).utf8))
  }
  return bytes
}

private func damagedLines(_ contents: [UInt8], _ form: Form, _ draw: inout Draw) -> [UInt8] {
  var lines = contents.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
  guard !lines.isEmpty else { return damagedBytes(contents, &draw) }
  let place = draw.below(lines.count)
  switch draw.below(10) {
  case 0: lines.remove(at: place)
  case 1: lines.insert(lines[place], at: draw.below(lines.count))
  case 2: lines.swapAt(place, draw.below(lines.count))
  case 3: lines.insert(Array(Hostile.text(&draw).utf8), at: place)
  case 4: lines[place] = damagedBytes(lines[place], &draw)
  default:
    if form == .jsonLines {
      lines[place] = damagedJSON(lines[place], &draw)
    } else {
      // One word of the line.
      let marks = Array(" ,:\t=".utf8)
      let line = lines[place]
      let starts = [0] + line.indices.filter { marks.contains(line[$0]) }.map { $0 + 1 }
      let start = draw.element(of: starts)
      let end = line[min(start, line.count)...].firstIndex { marks.contains($0) } ?? line.count
      let word = draw.chance(60) ? draw.element(of: Hostile.numbers) : Hostile.text(&draw)
      lines[place].replaceSubrange(min(start, line.count)..<end, with: Array(word.utf8))
    }
  }
  return Array(lines.joined(separator: [0x0A]))
}

private func damagedSafetensors(_ contents: [UInt8], _ draw: inout Draw) -> [UInt8] {
  guard contents.count > 8 else { return damagedBytes(contents, &draw) }
  let length = (0..<8).reduce(0) { $0 | Int(contents[$1]) << (8 * $1) }
  guard (0...contents.count - 8).contains(length) else { return damagedBytes(contents, &draw) }
  var payload = Array(contents[(8 + length)...])
  var header = Array(contents[8..<8 + length])
  switch draw.below(5) {
  case 0 where payload.count >= 4:
    // A value that is none.
    let value = draw.element(of: [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude])
      .bitPattern
    let place = draw.below(payload.count / 4) * 4
    for byte in 0..<4 { payload[place + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
  case 1: payload = damagedBytes(payload, &draw)
  default: header = damagedJSON(header, &draw)
  }
  let stated = draw.chance(92) ? header.count : draw.element(of: [0, 1, header.count + 1, 1 << 40, Int.max])
  return (0..<8).map { UInt8(truncatingIfNeeded: stated >> (8 * $0)) } + header + payload
}
