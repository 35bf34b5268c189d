import ArgumentParser
import Autograd
import Collectives
import Diagnostics
import Foundation
import Tasks
import Training

/// Which base model.
struct ModelFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder of a Hugging Face checkpoint: config.json, model.safetensors, the tokenizer's files.", valueName: "dir"))
  var model: String
}

/// Which data.
struct DataFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Task: \(TaskCatalogue.names.joined(separator: ", ")); evaluate takes that of the adapter where none is given.",
      valueName: "name"))
  var task: String?
  @Option(help: ArgumentHelp("Folder with the task's train, validation and test files.", valueName: "dir"))
  var dataDir: String?
  @Flag(help: "Lowercase the text.")
  var lowercase = false
  @Flag(help: "Replace <br /> by a space.")
  var stripHtml = false
  @Option(
    help: ArgumentHelp(
      "Names of the labels by number, for a task that leaves them open (default: those in the data).",
      valueName: "a,b,c"))
  var labelNames: String?
  @Option(
    help: ArgumentHelp(
      "Cut sources after this many tokens, special tokens included (default: 512, or what the model has room for).",
      valueName: "tokens"))
  var maxSourceLength: Int?
  @Option(
    help: ArgumentHelp(
      "Cut targets, and end answers, after this many tokens (default: what the labels need, or 128).",
      valueName: "tokens"))
  var maxTargetLength: Int?
  @Option(
    help: ArgumentHelp(
      "Task corpus: share of a text's tokens that T5, RoBERTa and BERT are to restore.", valueName: "share"))
  var noiseDensity = 0.15
  @Option(help: ArgumentHelp("Task corpus: mean length of the spans that T5 is to restore.", valueName: "tokens"))
  var meanSpanLength = 3.0
  @Option(help: ArgumentHelp("Folder of the token cache (default: $XDG_CACHE_HOME/peft-dist).", valueName: "dir"))
  var cacheDir: String?

  func validate() throws {
    for (flag, value) in [("--max-source-length", maxSourceLength), ("--max-target-length", maxTargetLength)] {
      guard Self.lengths.contains(value ?? 2) else {
        throw ValidationError(
          "\(flag) \(value ?? 2): expected \(Self.lengths.lowerBound) to \(Self.lengths.upperBound)")
      }
    }
    if let names = labelNames?.split(separator: ",", omittingEmptySubsequences: false).map({
      Array($0.trimmingCharacters(in: .whitespaces).utf8)
    }) {
      guard Set(names).count == names.count, !names.contains([]) else {
        throw ValidationError(
          "--label-names \(labelNames ?? ""): expected names that differ, separated by commas, by number: no,yes")
      }
    }
    guard noiseDensity > 0, noiseDensity < 1 else {
      throw ValidationError("--noise-density \(noiseDensity): expected a share between 0 and 1")
    }
    guard meanSpanLength >= 1, meanSpanLength.isFinite else {
      throw ValidationError("--mean-span-length \(meanSpanLength): expected at least 1")
    }
  }

  /// Of a sequence, in tokens.
  static let lengths = 2...1 << 22

  /// The task that was named.
  ///
  /// - Throws: `ValidationError` where none was.
  func requireTask() throws -> String {
    if let task { return task }
    throw ValidationError(
      "--task is needed: one of \(TaskCatalogue.names.joined(separator: ", ")); for labels of your own take pair")
  }

  /// The flags, and where they are silent what the training of an adapter or model did to its texts. Says which count.
  ///
  /// - Throws: `ValidationError` for another task than that, naming both.
  func filled(from settings: TaskSettings?) throws -> DataFlags {
    guard let settings else { return self }
    var data = self
    var (taken, other): ([String], [String]) = ([], [])
    if let task, task != settings.task {
      throw ValidationError(
        "--task \(task): trained on task \(settings.task), as \(settings.origin) says; leave --task out, or take another adapter"
      )
    }
    data.task = settings.task
    if task == nil { taken.append("task \(settings.task)") }
    if settings.lowercase, !lowercase {
      data.lowercase = true
      taken.append("lowercase")
    }
    if settings.stripHTML, !stripHtml {
      data.stripHtml = true
      taken.append("strip_html")
    }
    func length(_ key: String, _ flag: inout Int?, _ trained: Int) {
      if let given = flag {
        if given != trained { other.append("\(key) \(given) instead of \(trained)") }
      } else {
        flag = trained
        taken.append("\(key) \(trained)")
      }
    }
    length("max_source_length", &data.maxSourceLength, max(settings.maxSourceLength, Self.lengths.lowerBound))
    length("max_target_length", &data.maxTargetLength, max(settings.maxTargetLength, Self.lengths.lowerBound))
    for (flag, trained, key) in [
      (lowercase, settings.lowercase, "lowercase"), (stripHtml, settings.stripHTML, "strip_html"),
    ]
    where flag && !trained { other.append(key) }
    if !taken.isEmpty { RunLog.notice("as in training (\(settings.origin)): \(taken.joined(separator: ", "))") }
    if !other.isEmpty { RunLog.notice("other than in training, as the flags say: \(other.joined(separator: ", "))") }
    return data
  }

  /// - Parameter labels: names that the model has, where none are given.
  func textOptions(_ form: ExampleForm, labels: [String]? = nil, keepsTextsApart: Bool = false) -> TextOptions {
    let names = labelNames.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
    return TextOptions(
      lowercase: lowercase, stripHTML: stripHtml, form: form, labelNames: names ?? labels ?? [],
      keepsTextsApart: keepsTextsApart)
  }

  var cacheFolder: URL { Self.cacheFolder(cacheDir) }

  /// The folder named, or the user's own.
  static func cacheFolder(_ cacheDir: String?) -> URL {
    if let cacheDir { return URL(fileURLWithPath: cacheDir) }
    return UserFolders.caches().appendingPathComponent("peft-dist")
  }
}

/// How leaves are made and who works on them.
struct LeafFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Real tokens a leaf should hold; part of the numeric identity (default: by the model's size, 256 to 1024).",
      valueName: "tokens"))
  var leafTokens: Int?
  @Option(help: ArgumentHelp("Leaf workers of each rank (default: the cores it may use).", valueName: "n"))
  var threadsPerRank: Int?
  @Option(
    help: ArgumentHelp(
      "fp32; bf16: frozen projections in bfloat16; fp16: weights and activations in half precision.", valueName: "name")
  )
  var precision = Precision.fp32.rawValue

  @Option(help: Self.productsHelp) var products: Products?

  static let productsHelp = ArgumentHelp(
    "What multiplies matrices: canonical (default), the same bits on every CPU; openblas or onednn (bf16 with AMX), whose "
      + "results are their own.", valueName: "name")

  var arithmetic: Precision { Precision(rawValue: precision) ?? .fp32 }

  func validate() throws {
    try OptionRanges.check([("--leaf-tokens", leafTokens, 16), ("--threads-per-rank", threadsPerRank, 1)])
    guard Precision(rawValue: precision) != nil else {
      throw ValidationError("--precision \(precision): expected fp32, bf16 or fp16")
    }
  }
}

/// What watches over a job of several ranks.
struct WatchFlags: ParsableArguments {
  @Option(help: ArgumentHelp("End the job if a rank makes no progress for so long; 0 for never.", valueName: "seconds"))
  var stallTimeoutSeconds = 60.0

  func validate() throws {
    guard stallTimeoutSeconds >= 0, stallTimeoutSeconds.isFinite else {
      throw ValidationError("--stall-timeout-seconds must not be negative")
    }
  }

  /// The ranks have at least so long to meet at the start.
  private static let leastStartSeconds = 60.0

  /// Runs `body` in an MPI world under the watchdog, with these products.
  func run<T: Sendable>(_ products: Products?, _ body: @MainActor (World) throws -> T) throws -> T {
    try MainActor.assumeIsolated {
      // Where many ranks start from a slow file system, that takes longer than a stall.
      try World.run(
        startTimeoutSeconds: stallTimeoutSeconds == 0 ? 0 : max(stallTimeoutSeconds, Self.leastStartSeconds)
      ) { world in
        RunLog.isQuiet = !world.isFirst
        StopRequest.listen()
        try Watchdog.start(world: world, timeoutSeconds: stallTimeoutSeconds)
        try chooseKernels(products)
        return try body(world)
      }
    }
  }
}

extension Products: ExpressibleByArgument {}

/// Which tokens a decoder such as GPT-2 is trained to write.
enum LossScope: String, CaseIterable, ExpressibleByArgument {
  case target, all
}
