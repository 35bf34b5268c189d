import Autograd
import Checkpoints
import NN
import TensorCore

// P-tuning with a template (Liu et al. 2021, "GPT understands, too", §3.2): the virtual tokens of the prompt encoder stand
// where the template says, before and after the input and between anchor words, whose embeddings stay frozen. HF PEFT knows
// the form with all tokens in front alone (PTuning.swift), so files of this one have a `peft_type` of their own.

public final class TemplatePTuning: PEFTMethod {
  public let name = "p-tuning-template"
  private let template: PromptTemplate
  private let prompt: PTuning
  private let model: ModelDescription

  init(_ template: PromptTemplate, _ prompt: PTuning, _ model: ModelDescription) {
    self.template = template
    self.prompt = prompt
    self.model = model
  }

  // MARK: The method

  public var parameters: [Parameter] { prompt.parameters }
  public var virtualTokenCount: Int { template.virtualTokenCount + template.anchorIDs.count }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    prompt.materialise(parameters, tape)
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    TemplateSeams(prompt: sites[0], template: template, embedding: model.wordEmbedding)
  }

  private struct TemplateSeams: Seams {
    let prompt: Variable
    let template: PromptTemplate
    let embedding: Parameter

    func inputEmbeddings(
      _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
    ) -> (Variable, PackedLayout)? {
      guard stack == .encoder else { return nil }
      let (tape, ids) = (pass.tape, template.anchorIDs)
      // One table of all rows there are, and the order in which they stand.
      let fixed = ids.isEmpty ? prompt : tape.above(prompt, tape.embedding(pass.variable(embedding), ids: ids))
      let table = tape.above(fixed, embedded)
      var order: [Int32] = []
      for (start, length) in zip(layout.starts, layout.lengths) {
        var (virtual, anchor, first) = (0, prompt.value.rows, fixed.value.rows + start)
        func take(_ count: Int, _ next: inout Int) {
          order += (next..<next + count).map { Int32($0) }
          next += count
        }
        for part in template.parts {
          switch part {
          case .virtual(let count): take(count, &virtual)
          case .anchor(let ids): take(ids.count, &anchor)
          case .text: take(length - 1, &first)
          }
        }
        take(1, &first)
      }
      let added = template.virtualTokenCount + ids.count
      return (tape.embedding(table, ids: order), layout.lengthened(by: added))
    }
  }

  // MARK: Files

  private static let peftType = "P_TUNING_TEMPLATE"

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let files = prompt.adapterFiles(baseModelName: baseModelName)
    guard case .object(var members)? = files.config else { return files }
    members["peft_type"] = .string(Self.peftType)
    members["prompt_template"] = .string(template.description)
    members["prompt_template_parts"] = template.json
    return AdapterFiles(config: .object(members), tensors: files.tensors, trainingTensors: files.trainingTensors)
  }

  static let entry = MethodEntry(
    name: "p-tuning-template", peftType: peftType, defaultLearningRate: 1e-3, head: .prefixed("base_model."),
    make: { options, model, seed in
      guard let template = options.promptTemplate else {
        throw MethodError.badOption(
          option: "--prompt-template", value: "not given", expected: "such as '[P3] {text} [P2] sentiment ?'")
      }
      var configuration = PTuningConfiguration(options, model.description)
      configuration.virtualTokenCount = template.virtualTokenCount
      configuration.rowCount = template.virtualTokenCount
      let prompt = try PTuning(
        configuration, model.description, hasNetwork: true, seed: seed, values: { _, _ in nil })
      return TemplatePTuning(template, prompt, model.description)
    },
    read: { folder, model in
      let template = try PromptTemplate(folder.config, vocabularySize: model.description.vocabularySize)
      let prompt = try PTuning(folder, model)
      guard prompt.virtualTokenCount == template.virtualTokenCount else {
        throw folder.config.error("num_virtual_tokens", expected: "the template's \(template.virtualTokenCount)")
      }
      return TemplatePTuning(template, prompt, model.description)
    })
}
