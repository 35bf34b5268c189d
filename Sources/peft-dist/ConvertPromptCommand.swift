import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore

struct ConvertPromptCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-prompt",
    abstract: "Turn a prompt into the .npy file of google-research/prompt-tuning, or such a file into an adapter.",
    discussion: """
        peft-dist convert-prompt runs/prompt/adapter --output prompt.npy
        peft-dist convert-prompt prompt.npy --model t5-base --output adapter
      """)

  @Argument(help: ArgumentHelp("Adapter folder of prompt tuning or P-tuning, or a .npy file.", valueName: "path"))
  var source: String
  @Option(help: ArgumentHelp("A .npy file, or a folder for the adapter.", valueName: "path"))
  var output: String
  @Option(help: ArgumentHelp("Folder of the base model, for a new adapter.", valueName: "dir"))
  var model: String?

  private var makesArray: Bool { output.hasSuffix(".npy") }

  func validate() throws {
    guard makesArray || model != nil else { throw ValidationError("--model is needed to write an adapter") }
  }

  func run() throws {
    let target = makesArray ? URL(fileURLWithPath: output) : try OutputFolder.new(output)
    let prompt = try PromptTuning.prompt(at: URL(fileURLWithPath: source))
    if makesArray {
      try NumpyFile.write(prompt, to: target)
    } else if let model {
      let base = try ModelCatalogue.load(ModelFolder(URL(fileURLWithPath: model)))
      let method = try PromptTuning(prompt: prompt, base, source: source)
      let files = method.adapterFiles(baseModelName: model)
      try AdapterFolder.write(config: files.config ?? [:], tensors: files.tensors, to: target)
    }
    RunLog.notice("\(prompt.rows) virtual tokens of width \(prompt.width) written to \(target.path)")
  }
}
