import ArgumentParser
import Foundation
import PEFTMethods

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Tune a model by one method after another, and put them side by side.",
    discussion: """
      Base, data order and budget are the same for all; every flag of `train` holds for each. Writes to --output: members/NAME/, \
      each with the bytes of `train --method NAME`, and comparison.md, .json and .html with table and plots. With --resume \
      finished members stay, the one under way goes on, and methods may be added.

        peft-dist compare --methods full,prompt-tuning,lora --model t5-small --task imdb --data-dir imdb --output runs/all
      """)

  @Option(
    help: ArgumentHelp(
      "Methods to compare, instead of --method: names as there, such as full,lora,lora+prompt-tuning. Of rates, "
        + "--learning-rate-of NAME=X comes first, then --learning-rate, then the default of each method.",
      valueName: "a,b,c"))
  var methods: String
  @OptionGroup var train: TrainCommand

  func validate() throws {
    guard train.initAdapter == nil else {
      throw ValidationError("--init-adapter does not go with compare: an adapter belongs to one method")
    }
    _ = try members()
  }

  /// The training run of each method.
  func members() throws -> [ComparisonMember] {
    let names = methods.split(separator: ",", omittingEmptySubsequences: false).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
      throw ValidationError("--methods: '\(twice)' is there twice; name each method once")
    }
    let rates = try train.rates()
    let known = Set(names.flatMap { [$0] + $0.split(separator: "+").map(String.init) })
    if let stranger = rates.keys.sorted().first(where: { !known.contains($0) }) {
      throw ValidationError("--learning-rate-of \(stranger): expected one of --methods \(methods)")
    }
    return try names.map { name in
      var member = train
      member.method.method = name
      member.output = URL(fileURLWithPath: train.output).appendingPathComponent("members/\(name)").path
      member.learningRate = rates[name] ?? train.learningRate
      let parts = name.split(separator: "+").map(String.init)
      let own = rates.filter { parts.count > 1 && parts.contains($0.key) }.sorted { $0.key < $1.key }
      member.learningRateOf = own.isEmpty ? nil : own.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
      try member.check(flag: "--methods")
      return ComparisonMember(name: name, flags: member)
    }
  }

  func run() throws {
    let outcome = try train.watch.run(train.leaf.products) { try Comparison(self, world: $0).run() }
    if outcome == .stopped { throw ExitCode(75) }
  }
}

/// One run of a comparison.
struct ComparisonMember {
  let name: String
  let flags: TrainCommand
}

extension TrainCommand {
  /// What parsing would find wrong with these flags, and a method that cannot be made.
  ///
  /// - Parameter flag: the flag that the method comes from.
  func check(flag: String) throws {
    do { _ = try methodRequest() } catch let error as MethodError { throw ValidationError("\(flag): \(error)") }
    try method.validate()
    try validate()
  }
}
