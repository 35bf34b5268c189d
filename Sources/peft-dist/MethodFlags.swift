import ArgumentParser
import Checkpoints
import Foundation
import PEFTMethods

/// The tuning method.
struct MethodFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Tuning method: \(MethodCatalogue.entries.map(\.name).joined(separator: ", ")); several joined by +.",
      valueName: "name"))
  var method = "prompt-tuning"
  @Option(help: ArgumentHelp("Prompt, prefix and P-tuning: number of virtual tokens.", valueName: "n"))
  var virtualTokens = 20
  @Option(
    help: ArgumentHelp(
      "Prompt tuning: start from random, vocabulary, text, class-labels or file.", valueName: "kind"))
  var promptInit = "vocabulary"
  @Option(help: ArgumentHelp("Prompt tuning: the text to start from (with --prompt-init text).", valueName: "text"))
  var promptInitText: String?
  @Option(
    help: ArgumentHelp(
      "Prompt tuning: adapter folder or .npy file whose prompt to start from (with --prompt-init file).",
      valueName: "path"))
  var promptInitFile: String?
  @Option(name: .customLong("lora-r"), help: ArgumentHelp("LoRA: rank of the update.", valueName: "n"))
  var loraR = 8
  @Option(help: ArgumentHelp("LoRA: α; the update is scaled by α/r.", valueName: "x"))
  var loraAlpha = 16.0
  @Option(help: ArgumentHelp("LoRA: dropout on the input of A.", valueName: "rate"))
  var loraDropout = 0.0
  @Option(
    help: ArgumentHelp(
      "LoRA, IA3: projections to adapt: a list such as q,v, a regular expression, or all-linear (default: the model's usual).",
      valueName: "names"))
  var targetModules: String?
  @Flag(help: "LoRA: scale by α/√r (rsLoRA).")
  var useRslora = false
  @Option(help: ArgumentHelp("LoRA: biases to train: none, lora_only, all.", valueName: "kind"))
  var loraBias = "none"
  @Option(help: ArgumentHelp("LoRA: rank for some modules, as PATTERN=R,PATTERN=R.", valueName: "pairs"))
  var loraRankPattern: String?
  @Option(help: ArgumentHelp("LoRA: α for some modules, as PATTERN=A,PATTERN=A.", valueName: "pairs"))
  var loraAlphaPattern: String?
  @Option(help: ArgumentHelp("LoRA: modules to train as full copies, such as lm_head.", valueName: "names"))
  var modulesToSave: String?
  @Flag(help: "LoRA: train magnitudes besides (DoRA).")
  var useDora = false
  @Option(
    help: ArgumentHelp(
      "LoRA: start of A and B: \(LoRAInitialization.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "kind"))
  var loraInit = LoRAInitialization.standard.rawValue
  @Option(help: ArgumentHelp("LoRA: rate of B divided by that of A (LoRA+).", valueName: "x"))
  var loraPlusRatio = 1.0
  @Option(help: ArgumentHelp("LoRA: adapt these layers only, as 0,3,5 or 0-5.", valueName: "numbers"))
  var layersToTransform: String?
  @Option(
    help: ArgumentHelp(
      "LoRA: path segments in front of a layer's number, such as block (with --layers-to-transform).",
      valueName: "names"))
  var layersPattern: String?
  @Option(
    help: ArgumentHelp(
      "IA3: those of the projections whose input is scaled instead of the output.", valueName: "names"))
  var feedforwardModules: String?
  @Option(
    help: ArgumentHelp(
      "Adapter: pfeiffer (one in a block) or houlsby (two).", valueName: "kind"))
  var adapterPlacement = AdapterPlacement.pfeiffer.rawValue
  @Option(help: ArgumentHelp("Adapter: width of the model divided by that of the bottleneck.", valueName: "x"))
  var reductionFactor = 16.0
  @Option(
    help: ArgumentHelp(
      "Adapter: relu, swish, gelu, gelu_new or tanh (default: relu for pfeiffer, swish for houlsby).",
      valueName: "name"))
  var nonLinearity: String?
  @Flag(help: "Prefix tuning: make the prefix by an MLP.")
  var prefixProjection = false
  @Option(
    help: ArgumentHelp(
      "P-tuning with a template: virtual tokens and words around the input, such as '[P3] {text} [P2] sentiment ?'.",
      valueName: "text"))
  var promptTemplate: String?
  @Option(help: ArgumentHelp("P-tuning: the prompt encoder: lstm or mlp.", valueName: "kind"))
  var promptEncoder = PromptEncoderKind.lstm.rawValue.lowercased()
  @Option(
    help: ArgumentHelp(
      "P-tuning, prefix tuning with an MLP: inner width of the network (default: the model's width).", valueName: "n"))
  var encoderHiddenSize: Int?
  @Option(help: ArgumentHelp("P-tuning: layers of the LSTM.", valueName: "n"))
  var encoderLayers = 2

  func validate() throws {
    // Each layer of the LSTM is a frame more where its graph is taken down.
    try OptionRanges.check([("--encoder-layers", encoderLayers, 1)], most: 256)
    guard ["random", "vocabulary", "text", "class-labels", "file"].contains(promptInit) else {
      throw ValidationError("--prompt-init \(promptInit): expected random, vocabulary, text, class-labels or file")
    }
    guard (promptInit == "file") == (promptInitFile != nil) else {
      throw ValidationError("--prompt-init file and --prompt-init-file go together")
    }
    guard (promptInit == "text") == (promptInitText != nil) else {
      throw ValidationError("--prompt-init text and --prompt-init-text go together")
    }
    let counts = [
      ("--virtual-tokens", virtualTokens), ("--lora-r", loraR), ("--encoder-hidden-size", encoderHiddenSize ?? 1),
      ("--encoder-layers", encoderLayers),
    ]
    for (flag, value) in counts where !(1...Self.mostCount).contains(value) {
      throw ValidationError("\(flag) \(value): expected 1 to \(Self.mostCount)")
    }
    guard LoRABias(rawValue: loraBias) != nil else {
      throw ValidationError("--lora-bias \(loraBias): expected none, lora_only or all")
    }
    guard LoRAInitialization(rawValue: loraInit) != nil else {
      throw ValidationError(
        "--lora-init \(loraInit): expected \(LoRAInitialization.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard AdapterPlacement(rawValue: adapterPlacement) != nil else {
      throw ValidationError("--adapter-placement \(adapterPlacement): expected pfeiffer or houlsby")
    }
    guard PromptEncoderKind(rawValue: promptEncoder.uppercased()) != nil else {
      throw ValidationError("--prompt-encoder \(promptEncoder): expected lstm or mlp")
    }
    _ = try layers()
    _ = try Self.pairs(loraRankPattern, flag: "--lora-rank-pattern") { Int($0) }
    _ = try Self.pairs(loraAlphaPattern, flag: "--lora-alpha-pattern") { Double($0) }
  }

  private static let mostCount = 65_536

  /// What belongs to some methods only: the flags as `run.yaml` names them, and the methods.
  private static let owners: [(keys: [String], methods: [String])] = [
    (["virtual_tokens"], ["prompt-tuning", "prefix-tuning", "prefix-tuning-paper", "p-tuning"]),
    (["prompt_init", "prompt_init_text", "prompt_init_file"], ["prompt-tuning"]),
    (
      [
        "lora_r", "lora_alpha", "lora_dropout", "use_rslora", "lora_bias", "lora_rank_pattern", "lora_alpha_pattern",
        "use_dora", "lora_init", "lora_plus_ratio", "layers_to_transform", "layers_pattern", "modules_to_save",
      ], ["lora"]
    ),
    (["target_modules"], ["lora", "ia3"]), (["feedforward_modules"], ["ia3"]),
    (["adapter_placement", "reduction_factor", "non_linearity"], ["adapter"]),
    (["prefix_projection"], ["prefix-tuning", "prefix-tuning-paper"]),
    (["encoder_hidden_size"], ["p-tuning", "p-tuning-template", "prefix-tuning", "prefix-tuning-paper"]),
    (["prompt_encoder", "encoder_layers"], ["p-tuning", "p-tuning-template"]),
    (["prompt_template"], ["p-tuning-template"]),
  ]

  /// Refuses flags that the method, or none of several, looks at.
  ///
  /// - Throws: `ValidationError` naming flag, value and the methods that it belongs to.
  func requireUsed() throws {
    let names = Set(method.split(separator: "+").map(String.init))
    let defaults = Dictionary(try Self.parse([]).settings, uniquingKeysWith: { $1 })
    let given = settings.filter { $0.1 != defaults[$0.0] && $0.1 != .null }
    for (key, value) in given {
      guard let owner = Self.owners.first(where: { $0.keys.contains(key) }),
        names.isDisjoint(with: owner.methods)
      else { continue }
      let flag = "--" + key.replacing("_", with: "-")
      throw ValidationError(
        "\(flag) \(value.summary) belongs to the method \(owner.methods.joined(separator: ", ")), and --method is \(method): "
          + "leave it out, or choose that method")
    }
  }

  /// - Parameters:
  ///   - textIDs: ids of a text, special tokens included.
  ///   - wordIDs: ids of words alone.
  ///   - labelIDs: ids of each label word.
  func options(textIDs: (String) -> [Int32], wordIDs: (String) -> [Int32], labelIDs: [[Int32]]) throws -> MethodOptions
  {
    var options = MethodOptions()
    options.virtualTokenCount = virtualTokens
    switch promptInit {
    case "vocabulary": options.promptInitialization = .vocabulary
    case "text": options.promptInitialization = .text(ids: textIDs(promptInitText ?? ""), text: promptInitText ?? "")
    case "file":
      let source = promptInitFile ?? ""
      options.promptInitialization = .values(
        try PromptTuning.prompt(at: URL(fileURLWithPath: source)), source: source)
    case "class-labels":
      guard !labelIDs.isEmpty else {
        throw MethodError.badOption(
          option: "--prompt-init", value: "class-labels", expected: "a task with class labels")
      }
      options.promptInitialization = .classLabels(ids: labelIDs)
    default: options.promptInitialization = .random
    }
    options.factorRank = loraR
    options.alpha = loraAlpha
    options.loraDropout = loraDropout
    options.targetModules = targetModules.map { ModuleSelection(text: $0) }
    options.usesRankStabilization = useRslora
    options.bias = LoRABias(rawValue: loraBias) ?? .none
    options.rankPattern = ModulePatterns(
      try Self.orderedPairs(loraRankPattern, flag: "--lora-rank-pattern") { Int($0) })
    options.alphaPattern = ModulePatterns(
      try Self.orderedPairs(loraAlphaPattern, flag: "--lora-alpha-pattern") { Double($0) })
    options.modulesToSave = Self.list(modulesToSave)
    options.usesMagnitudes = useDora
    options.loraInitialization = LoRAInitialization(rawValue: loraInit) ?? .standard
    options.loraPlusRatio = loraPlusRatio
    options.layers = try layers()
    options.layersPattern = Self.list(layersPattern)
    options.feedForwardModules = feedforwardModules.map { ModuleSelection(text: $0) }
    options.adapterPlacement = AdapterPlacement(rawValue: adapterPlacement) ?? .pfeiffer
    options.reductionFactor = reductionFactor
    options.nonLinearity = nonLinearity
    options.prefixProjection = prefixProjection
    options.promptTemplate = try promptTemplate.map { template in
      try PromptTemplate(template, ids: wordIDs)
    }
    options.promptEncoder = PromptEncoderKind(rawValue: promptEncoder.uppercased()) ?? .lstm
    options.encoderHiddenSize = encoderHiddenSize
    options.encoderLayerCount = encoderLayers
    return options
  }

  private static func list(_ text: String?) -> [String] {
    text?.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } ?? []
  }

  /// `0,3,5` or `0-5`, or both.
  private func layers() throws -> [Int]? {
    guard let layersToTransform else { return nil }
    let layers = try Self.list(layersToTransform).flatMap { part -> [Int] in
      let ends = part.split(separator: "-").map { Int($0) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last,
        last <= Self.mostCount
      else {
        throw ValidationError("--layers-to-transform: expected numbers such as 0,3,5 or 0-5, found '\(part)'")
      }
      return Array(first...last)
    }
    guard !layers.isEmpty else { throw ValidationError("--layers-to-transform: expected numbers such as 0,3,5 or 0-5") }
    return layers
  }

  static func pairs<Value>(_ text: String?, flag: String, _ parse: (Substring) -> Value?) throws -> [String: Value] {
    Dictionary(try orderedPairs(text, flag: flag, parse), uniquingKeysWith: { $1 })
  }

  private static func orderedPairs<Value>(
    _ text: String?, flag: String, _ parse: (Substring) -> Value?
  ) throws -> [(String, Value)] {
    try (text?.split(separator: ",") ?? []).map { pair in
      guard let equals = pair.lastIndex(of: "="), let value = parse(pair[pair.index(after: equals)...]) else {
        throw ValidationError("\(flag): expected PATTERN=NUMBER, found '\(pair)'")
      }
      return (String(pair[..<equals]), value)
    }
  }

  /// Every setting by its name in `run.yaml`.
  var settings: [(String, JSON)] {
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    return [
      ("method", .string(method)), ("virtual_tokens", .integer(virtualTokens)), ("prompt_init", .string(promptInit)),
      ("prompt_init_text", text(promptInitText)), ("prompt_init_file", text(promptInitFile)),
      ("lora_r", .integer(loraR)), ("lora_alpha", .double(loraAlpha)),
      ("lora_dropout", .double(loraDropout)), ("target_modules", text(targetModules)),
      ("use_rslora", .bool(useRslora)), ("lora_bias", .string(loraBias)),
      ("lora_rank_pattern", text(loraRankPattern)), ("lora_alpha_pattern", text(loraAlphaPattern)),
      ("modules_to_save", text(modulesToSave)), ("use_dora", .bool(useDora)), ("lora_init", .string(loraInit)),
      ("lora_plus_ratio", .double(loraPlusRatio)), ("layers_to_transform", text(layersToTransform)),
      ("layers_pattern", text(layersPattern)), ("feedforward_modules", text(feedforwardModules)),
      ("adapter_placement", .string(adapterPlacement)), ("reduction_factor", .double(reductionFactor)),
      ("non_linearity", text(nonLinearity)), ("prefix_projection", .bool(prefixProjection)),
      ("prompt_encoder", .string(promptEncoder)), ("prompt_template", text(promptTemplate)),
      ("encoder_hidden_size", encoderHiddenSize.map { .integer($0) } ?? .null),
      ("encoder_layers", .integer(encoderLayers)),
    ]
  }
}
