import Checkpoints
import Foundation
import Testing

private let documents: [(String, JSON)] = [
  ("0", JSON.integer(0)), ("-0", .integer(0)), ("9223372036854775807", .integer(.max)),
  ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .double(0x1p63)), ("1.0", .double(1)),
  ("1e2", .double(100)), ("1E-2", .double(0.01)), ("-1.5e+3", .double(-1500)),
  ("Infinity", .double(.infinity)),
  ("-Infinity", .double(-.infinity)), (" \n\t\rtrue ", .bool(true)), ("\"\\u00e9\\ud83d\\ude00\\/\"", "é😀/"),
  ("[]", []), ("[1, \"a\", null]", [1, "a", nil]), ("{ }", [:]), ("{\"a\" : {\"b\":[]}}", ["a": ["b": []]]),
]

@Suite("JSON")
struct JSONTests {
  private func decode(_ text: String) throws -> JSON { try JSON.decode(text.utf8, origin: "x.json") }

  /// The text is what Python's `json.dumps(value, indent=2, sort_keys=True)` gives.
  @Test func writtenAsPythonWritesIt() throws {
    let value: JSON = [
      "target_modules": ["q", "v"], "r": 8, "lora_dropout": 0.0, "tiny": 1e-06, "third": .double(1.0 / 3),
      "bias": "none", "modules_to_save": nil, "rank_pattern": [:], "layers": [], "inference_mode": true,
      "text": "a\"b\\c\n\t\u{1}é€😀/", "Zeta": ["b": [1, [2]], "a": -3],
    ]
    let expected = #"""
      {
        "Zeta": {
          "a": -3,
          "b": [
            1,
            [
              2
            ]
          ]
        },
        "bias": "none",
        "inference_mode": true,
        "layers": [],
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "r": 8,
        "rank_pattern": {},
        "target_modules": [
          "q",
          "v"
        ],
        "text": "a\"b\\c\n\t\u0001\u00e9\u20ac\ud83d\ude00/",
        "third": 0.3333333333333333,
        "tiny": 1e-06
      }
      """#
    #expect(value.encoded() == expected)
    #expect(try decode(value.encoded()) == value)
    #expect(try decode(value.encoded(.compact)) == value)
    #expect(!value.encoded(.compact).contains(" "))
  }

  @Test(arguments: documents)
  func decoded(_ text: String, _ expected: JSON) throws { #expect(try decode(text) == expected) }

  @Test func notANumberSurvives() throws {
    guard case .double(let value) = try decode(JSON.double(.nan).encoded()) else {
      Issue.record("no double")
      return
    }
    #expect(value.isNaN)
  }

  @Test(arguments: [
    "", "  ", "{", "[1,", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "01", "-", "1.", ".5", "+1", "1e",
    "0x10", "tru",
    "\"abc", "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"\\ud83d\"", "\"\\ud83d\\u0041\"", "\"\\ude00\"",
    "\"a\nb\"",
    "1 2", "{\"a\":1}}", "{\"a\":1,\"a\":2}", "[\"\u{0}\"]", "'a'", "// a\n1", "nan", "\u{FEFF}{}",
  ])
  func refused(_ text: String) throws {
    guard case .malformedJSON(let path, _, _, _) = try checkpointError({ try decode(text) }) else {
      Issue.record("another error")
      return
    }
    #expect(path == "x.json")
  }

  @Test func errorsGiveThePlace() throws {
    let error = try checkpointError { try decode("{\n  \"a\": 1,\n  \"b\": tru\n}") }
    #expect("\(error)" == "x.json, line 3, column 8: not valid JSON: expected a value, found 't'")
  }

  @Test func depthIsLimited() throws {
    let nested = { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }
    #expect(throws: Never.self) { try decode(nested(128)) }
    #expect("\(try checkpointError { try decode(nested(129)) })".contains("more than 128 levels"))
    #expect("\(try checkpointError { try decode(nested(1_000_000)) })".contains("more than 128 levels"))
  }

  @Test func lookupsNameFileAndKey() throws {
    try withTemporaryFolder { folder in
      let text = """
        {"d_model": 64, "rate": 0.5, "tied": true, "type": "t5", "ids": [1, 2], "names": ["q"], "none": null,
         "inner": {"size": "big"}}
        """
      let url = try text.write("config.json", in: folder)
      let config = try JSONObject(file: url)
      #expect(try config.int("d_model") == 64)
      #expect(try config.double("d_model") == 64)
      #expect(try config.double("rate") == 0.5)
      #expect(try config.bool("tied"))
      #expect(try config.string("type") == "t5")
      #expect(try config.ints("ids") == [1, 2])
      #expect(try config.strings("names") == ["q"])
      #expect(try config.optionalInt("none") == nil)
      #expect(try config.optionalString("absent") == nil)
      #expect(config["none"] == nil)
      func message<Value>(_ body: () throws -> Value) throws -> String { "\(try checkpointError(body))" }
      #expect(
        try message { try config.int("type") } == "\(url.path), key 'type': expected an integer, found \"t5\""
      )
      #expect(
        try message { try config.int("absent") }
          == "\(url.path), key 'absent': expected an integer, found nothing")
      #expect(try message { try config.int("none") }.hasSuffix("key 'none': expected an integer, found null"))
      #expect(try message { try config.optionalBool("rate") }.hasSuffix("expected true or false, found 0.5"))
      #expect(try message { try config.strings("ids") }.hasSuffix("an array of strings, found an array of 2"))
      #expect(try message { try config.object("inner").int("size") }.contains("key 'inner.size'"))
      #expect(
        try message { try config.int("d_model", in: 1...32) }.contains("an integer from 1 to 32, found 64"))
      #expect(try message { try config.object("d_model") }.contains("expected an object, found 64"))
    }
  }

  @Test func dimensionsAreBounded() throws {
    let config = JSONObject(["zero": 0, "huge": 4_194_305, "largest": 4_194_304], origin: "config.json")
    #expect(try config.dimension("largest") == 4_194_304)
    #expect(throws: CheckpointError.self) { try config.dimension("zero") }
    #expect(throws: CheckpointError.self) { try config.dimension("huge") }
  }

  @Test func aDocumentThatIsNoObject() throws {
    try withTemporaryFolder { folder in
      let url = try "[1]".write("config.json", in: folder)
      let error = try checkpointError { try JSONObject(file: url) }
      #expect(error == .wrongKind(path: url.path, expected: "a JSON object", found: "an array of 1"))
    }
  }
}
