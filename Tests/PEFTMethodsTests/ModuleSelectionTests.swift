import Checkpoints
import NN
import Testing

@testable import PEFTMethods

/// Which projections an entry of `target_modules` means, as HF PEFT's `check_target_module_exists` decides it.
@Suite struct ModuleSelectionTests {
  @Test(
    arguments: [
      ("q", .names(["q"])), ("q,v", .names(["q", "v"])), ("q, v", .names(["q", "v"])),
      ("SelfAttention.q,wo", .names(["SelfAttention.q", "wo"])), ("wi_0", .names(["wi_0"])),
      ("all-linear", .allLinear), (".*\\.q", .expression(".*\\.q")), ("(q|v)", .expression("(q|v)")),
      ("encoder.*SelfAttention", .expression("encoder.*SelfAttention")),
    ] as [(String, ModuleSelection)])
  func textOfTheCommandLine(text: String, expected: ModuleSelection) {
    #expect(ModuleSelection(text: text) == expected)
  }

  @Test func valuesOfAdapterConfig() throws {
    func selection(_ value: JSON) throws -> ModuleSelection {
      try ModuleSelection(value, config: JSONObject(["target_modules": value], origin: "adapter_config.json"))
    }
    #expect(try selection(["q", "v"]) == .names(["q", "v"]))
    // A string is a regular expression, even one that looks like a name.
    #expect(try selection("q") == .expression("q"))
    #expect(try selection("all-linear") == .allLinear)
    for bad: JSON in [7, ["q", 1], .object([:]), true] {
      let error = try #require(throws: CheckpointError.self) { _ = try selection(bad) }
      #expect("\(error)".contains("target_modules"))
    }
    for selection: ModuleSelection in [.names(["q"]), .expression("a|b"), .allLinear] {
      #expect(
        try ModuleSelection(
          selection.json, config: JSONObject(["target_modules": selection.json], origin: ""))
          == selection)
    }
  }

  private func paths(
    _ selection: ModuleSelection, _ name: String = "t5_v10", excluding: (String) -> Bool = { _ in false }
  ) throws -> [String] {
    try selection.linears(of: Golden.model(name), option: "--target-modules", excluding: excluding).map(
      \.path)
  }

  /// Encoder: one attention a block; decoder: two.
  @Test(arguments: [
    (["q"], 6), (["q", "v"], 12), (["SelfAttention.q"], 4), (["EncDecAttention.q"], 2), (["o"], 6),
    (["wo"], 4),
    (["wi", "wo"], 8), (["lm_head"], 1), (["encoder.block.0.layer.0.SelfAttention.q"], 1),
    (["q", "SelfAttention.q"], 6),
  ])
  func namesMatchWholeComponents(names: [String], count: Int) throws {
    let found = try paths(.names(names))
    #expect(found.count == count && Set(found).count == count)
    for path in found {
      #expect(names.contains { path == $0 || path.hasSuffix(".\($0)") }, "\(path)")
    }
  }

  @Test func projectionsComeInModelOrder() throws {
    let found = try paths(.names(["v", "q"]))
    #expect(found.first == "encoder.block.0.layer.0.SelfAttention.q")
    #expect(found[1] == "encoder.block.0.layer.0.SelfAttention.v")
    #expect(found.last == "decoder.block.1.layer.1.EncDecAttention.v")
  }

  @Test func expressionsMatchFromEndToEnd() throws {
    #expect(try paths(.expression(".*SelfAttention\\.(q|v)")).count == 8)
    #expect(
      try paths(.expression("encoder\\.block\\.1\\..*\\.q")) == ["encoder.block.1.layer.0.SelfAttention.q"])
    // As Python's re, with looks behind and ahead, and groups with names.
    #expect(try paths(.expression(".*(?<=SelfAttention\\.)(?P<side>q|v)")).count == 8)
    #expect(try paths(.expression("(?!decoder).*SelfAttention\\.q")).allSatisfy { $0.hasPrefix("encoder.") })
    #expect(throws: MethodError.self) { try paths(.expression("SelfAttention\\.q")) }
    #expect(throws: MethodError.self) { try paths(.expression("q")) }
  }

  @Test func allLinearLeavesTheHeadOut() throws {
    // Encoder: 4 + 2 projections a block; decoder: 4 + 4 + 2. Gated: one more in each feed-forward.
    #expect(try paths(.allLinear).count == 2 * 6 + 2 * 10)
    #expect(try paths(.allLinear, "t5_v11").count == 2 * 7 + 2 * 11)
    #expect(try !paths(.allLinear, "t5_v11").contains("lm_head"))
  }

  @Test func modulesTrainedAsTheyAreAreLeftOut() throws {
    #expect(try paths(.names(["q"]), excluding: { $0.hasPrefix("encoder") }).count == 4)
  }

  @Test(arguments: ["SelfAttentio", "ttention.q", "Q", "query", ""])
  func whatMatchesNothingIsAnErrorThatNamesWhatThereIs(name: String) throws {
    let error = try #require(throws: MethodError.self) { _ = try paths(.names([name])) }
    #expect(
      error
        == .nothingMatches(
          option: "--target-modules", value: name, known: ["k", "lm_head", "o", "q", "v", "wi", "wo"]))
  }

  @Test(arguments: [
    ("layer_norm", "encoder.block.0.layer.0.layer_norm"), ("shared", "shared"),
    ("relative_attention_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
  ])
  func whatIsNoProjectionIsAnError(name: String, module: String) throws {
    let error = try #require(throws: MethodError.self) { _ = try paths(.names([name])) }
    #expect(error == .notLinear(option: "--target-modules", module: module))
    // One entry that is a projection does not excuse another that is none.
    #expect(throws: MethodError.self) { try paths(.names(["q", name])) }
  }

  @Test func anInvalidExpressionIsAnError() throws {
    let error = try #require(throws: MethodError.self) { _ = try paths(.expression("(q")) }
    #expect(
      error
        == .badOption(
          option: "--target-modules", value: "'(q'", expected: "a valid regular expression of at most 10,000 bytes"))
  }
}
