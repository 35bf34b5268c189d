import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Training

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Write a model that computes alone what a base and its adapter compute.",
    discussion: """
      The result is a Hugging Face folder with fp32 weights. LoRA, IA3 and tuned norms can be merged; prompts, prefixes and \
      bottleneck adapters cannot, as no weights of the model do what they do. With --unmerge, --model names a merged model \
      and the result is the base again, to rounding.
      """)

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(help: ArgumentHelp("Adapter folder in Hugging Face PEFT format.", valueName: "dir"))
  var adapter: String
  @Option(help: ArgumentHelp("Folder for the merged model.", valueName: "dir"))
  var output: String
  @Flag(help: "Take the adapter out of a merged model.")
  var unmerge = false

  func run() throws {
    try MainActor.assumeIsolated {
      try agreeOnKernels(over: nil)
      try merge()
    }
  }

  @MainActor
  private func merge() throws {
    let target = URL(fileURLWithPath: output)
    let contents = (try? FileManager.default.contentsOfDirectory(atPath: target.path)) ?? []
    guard contents.isEmpty else {
      throw CheckpointError.wrongKind(
        path: target.path, expected: "an empty or a new folder", found: "one with \(contents.count) entries")
    }
    let folder = try ModelFolder(URL(fileURLWithPath: model.model))
    let base = try ModelCatalogue.load(folder)
    let method = try MethodCatalogue.read(folder: URL(fileURLWithPath: adapter), model: base)
    guard let mergeable = method as? any MergeableMethod else {
      throw MethodError.cannotMerge(method: method.name, reason: "no weights of the model do what it does")
    }
    let changed = try mergeable.mergedTensors(base, direction: unmerge ? .unmerge : .merge)
    var tensors = Dictionary(uniqueKeysWithValues: base.parameters.map { ($0.name, $0.value) })
    tensors.merge(changed) { $1 }
    try ModelFolder.write(
      tensors: tensors, like: folder.url, changes: base.description.configurationChanges, to: target)
    RunLog.notice("\(changed.count) of \(tensors.count) tensors changed by \(method.name); written to \(target.path)")
  }
}
