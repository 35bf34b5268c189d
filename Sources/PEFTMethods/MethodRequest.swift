import NN

/// `--method`: one name, or several joined by `+`, and the learning rates.
public struct MethodRequest: Sendable {
  public let entries: [MethodEntry]
  /// Learning rate of each entry.
  public let rates: [Double]

  /// - Parameters:
  ///   - rate: for all methods; nil for the default of each.
  ///   - rateOf: for the methods named, before `rate`.
  /// Throws: `MethodError`: an unknown method; a rate for a method that is not asked for; a method that stands alone.
  public init(_ names: String, rate: Double? = nil, rateOf: [String: Double] = [:]) throws {
    let entries = try names.split(separator: "+", omittingEmptySubsequences: false).map {
      try MethodCatalogue.entry(named: String($0))
    }
    if entries.count > 1, let alone = entries.first(where: { $0.peftType == nil }) {
      throw MethodError.badOption(
        option: "--method", value: names, expected: "'\(alone.name)' alone: it trains every tensor")
    }
    if let stranger = rateOf.keys.sorted().first(where: { name in !entries.contains { $0.name == name } }) {
      throw MethodError.badOption(
        option: "--learning-rate-of", value: stranger, expected: "one of the methods of --method \(names)")
    }
    self.entries = entries
    rates = entries.map { rateOf[$0.name] ?? rate ?? $0.defaultLearningRate }
  }

  /// The rate the run states; the others are factors of it.
  public var rate: Double { rates[0] }

  /// `lora=0.002,prompt-tuning=0.3` for several methods: what gives each the rate it has here; nil for one.
  public var assignedRates: String? {
    entries.count > 1 ? zip(entries, rates).map { "\($0.name)=\($1)" }.joined(separator: ",") : nil
  }

  /// `0.3`, or `0.3 (prompt-tuning), 0.002 (lora)`.
  public var rateText: String {
    guard entries.count > 1 else { return "\(rate)" }
    return zip(entries, rates).map { "\($1) (\($0.name))" }.joined(separator: ", ")
  }

  /// The methods on `model`, initialised from `seed`.
  public func make(_ options: MethodOptions, _ model: any LanguageModel, seed: UInt64) throws -> any PEFTMethod {
    let parts = try entries.enumerated().map { index, entry in
      var options = options
      // One of several methods brings the head.
      options.trainsHead = index == 0
      return try entry.tuned(options, model, seed: seed &+ UInt64(index))
    }
    return try combined(parts, model)
  }

  /// These methods under the rates asked for.
  ///
  /// Throws: `MethodError.badOption` if they are not the methods asked for.
  public func adopt(_ found: any PEFTMethod, _ model: any LanguageModel) throws -> any PEFTMethod {
    let parts = (found as? CombinedMethod)?.parts ?? [found]
    let ordered = entries.compactMap { entry in parts.first { $0.name == entry.name } }
    guard ordered.count == parts.count, ordered.count == entries.count else {
      throw MethodError.badOption(
        option: "--method", value: entries.map(\.name).joined(separator: "+"),
        expected: "\(parts.map(\.name).joined(separator: "+")), as the adapter to start from has it")
    }
    return try combined(ordered, model)
  }

  private func combined(_ parts: [any PEFTMethod], _ model: any LanguageModel) throws -> any PEFTMethod {
    guard parts.count > 1 else { return parts[0] }
    guard rate > 0 || rates.allSatisfy({ $0 == 0 }) else {
      throw MethodError.badOption(
        option: "--learning-rate-of", value: "0 for \(entries[0].name)",
        expected: "a positive rate for the first method")
    }
    return try CombinedMethod(parts, model, rateFactors: rates.map { rate > 0 ? $0 / rate : 1 })
  }
}
