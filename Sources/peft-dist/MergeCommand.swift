import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import NN
import PEFTMethods
import Tasks
import TensorCore
import Training

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Write a model that computes alone what a base and its adapter compute.",
    discussion: """
      The result is a Hugging Face folder, with fp32 weights or, by --dtype bf16, half as large. LoRA, IA3 and tuned norms can be merged; prompts, prefixes and \
      bottleneck adapters cannot, as no weights of the model do what they do. With --unmerge, --model names a merged model \
      and the result is the base again, to rounding. Without --adapter the model stays as it is, in the width asked for.
      """)

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(help: ArgumentHelp("Adapter folder in Hugging Face PEFT format.", valueName: "dir"))
  var adapter: String?
  @Option(help: ArgumentHelp("Folder for the merged model.", valueName: "dir"))
  var output: String
  @Flag(help: "Take the adapter out of a merged model.")
  var unmerge = false
  @Option(help: ArgumentHelp("fp32 or bf16: how the weights are stored.", valueName: "name"))
  var dtype = "fp32"

  func validate() throws {
    guard ["fp32", "bf16"].contains(dtype) else { throw ValidationError("--dtype \(dtype): expected fp32 or bf16") }
    guard adapter != nil || !unmerge else { throw ValidationError("--unmerge needs the --adapter to take out") }
  }

  func run() throws {
    try MainActor.assumeIsolated {
      try chooseKernels()
      try merge()
    }
  }

  @MainActor
  private func merge() throws {
    let target = try OutputFolder.new(output)
    let folder = try ModelFolder(URL(fileURLWithPath: model.model))
    guard let adapter else {
      // As the files have it: heads that no task of this program reads stay, too.
      let tensors = try folder.weights().all()
      try write(tensors, like: folder, changes: [:], to: target)
      try TaskSettings.first(adapter: nil, model: model.model)?.write(to: target)
      return
    }
    let base = try ModelCatalogue.load(folder)
    let method = try MethodCatalogue.read(folder: URL(fileURLWithPath: adapter), model: base)
    guard let mergeable = method as? any MergeableMethod else {
      throw MethodError.cannotMerge(method: method.name, reason: "no weights of the model do what it does")
    }
    let changed = try mergeable.mergedTensors(base, direction: unmerge ? .unmerge : .merge)
    var tensors = Dictionary(uniqueKeysWithValues: base.parameters.map { ($0.name, $0.value) })
    tensors.merge(changed) { $1 }
    RunLog.notice("\(changed.count) of \(tensors.count) tensors changed by \(method.name)")
    try write(tensors, like: folder, changes: base.description.configurationChanges, to: target)
    // What is taken out again leaves the base, which was trained on no task.
    if !unmerge { try TaskSettings.first(adapter: adapter, model: model.model)?.write(to: target) }
  }

  private func write(
    _ tensors: [String: Tensor], like folder: ModelFolder, changes: [String: JSON], to target: URL
  ) throws {
    try ModelFolder.write(
      tensors: tensors, like: folder.url, changes: changes, as: dtype == "bf16" ? .bf16 : .f32, to: target)
    RunLog.notice("\(tensors.count) tensors written to \(target.path) in \(dtype)")
  }
}
