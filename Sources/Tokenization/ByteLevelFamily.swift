/// What sets apart the tokenizers that use byte-level BPE.
enum ByteLevelFamily: String, Sendable {
  case gpt2 = "GPT-2"
  case roberta = "RoBERTa"

  /// The special tokens where the files name no others.
  var specialTokens: [TokenizerSettings.Role: AddedToken] {
    switch self {
    case .gpt2:
      let end = AddedToken("<|endoftext|>")
      return [.bos: end, .eos: end, .unknown: end]
    case .roberta:
      return [
        .bos: AddedToken("<s>"), .eos: AddedToken("</s>"), .unknown: AddedToken("<unk>"),
        .separator: AddedToken("</s>"), .pad: AddedToken("<pad>"), .classification: AddedToken("<s>"),
        .mask: AddedToken("<mask>", stripsLeft: true),
      ]
    }
  }
}
