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
    TemplateSeams(
      prompt: sites[0], template: template, embedding: model.wordEmbedding, specialTokens: model.specialTokens)
  }

  private struct TemplateSeams: Seams {
    let prompt: Variable
    let template: PromptTemplate
    let embedding: Parameter
    let specialTokens: (front: Int, between: Int, back: Int)

    func inputEmbeddings(
      _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
    ) -> (Variable, PackedLayout)? {
      guard stack == .encoder else { return nil }
      let (tape, ids) = (pass.tape, template.anchorIDs)
      // One table of all rows there are, and the order in which they stand.
      let fixed = ids.isEmpty ? prompt : tape.above(prompt, tape.embedding(pass.variable(embedding), ids: ids))
      let table = tape.above(fixed, embedded)
      var order: [Int32] = []
      var (lengths, secondStarts): ([Int], [Int]) = ([], [])
      for (index, length) in layout.lengths.enumerated() {
        let texts = texts(length: length, second: layout.secondStarts?[index] ?? length)
        let (input, begin) = (fixed.value.rows + layout.starts[index], order.count)
        var (virtual, anchor) = (0, prompt.value.rows)
        var second: Int?
        func take(_ rows: Range<Int>) { order += rows.map { Int32($0) } }
        func takeInput(_ rows: Range<Int>) { take(rows.lowerBound + input..<rows.upperBound + input) }
        func takeNext(_ count: Int, _ next: inout Int) {
          take(next..<next + count)
          next += count
        }
        takeInput(0..<specialTokens.front)
        for part in template.parts {
          switch part {
          case .virtual(let count): takeNext(count, &virtual)
          case .anchor(let ids): takeNext(ids.count, &anchor)
          case .text: takeInput(texts.first.lowerBound..<max(texts.first.upperBound, texts.second.upperBound))
          case .first: takeInput(texts.first)
          case .second:
            second = order.count - begin
            takeInput(texts.second)
          }
        }
        takeInput(length - specialTokens.back..<length)
        lengths.append(order.count - begin)
        secondStarts.append(second ?? lengths[index])
      }
      return (
        tape.embedding(table, ids: order),
        PackedLayout(lengths: lengths, examples: layout.examples, secondStarts: secondStarts)
      )
    }

    /// Where the texts lie in a source: of a single one all but the special tokens around it.
    private func texts(length: Int, second: Int) -> (first: Range<Int>, second: Range<Int>) {
      let end = length - specialTokens.back
      guard second < length else { return (specialTokens.front..<end, end..<end) }
      return (specialTokens.front..<second - specialTokens.between, second..<end)
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
      guard model.description.kind != .decoder else {
        throw MethodError.badOption(
          option: "--method", value: "p-tuning-template",
          expected: "a model with an encoder; on '\(model.description.modelType)' use p-tuning")
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
