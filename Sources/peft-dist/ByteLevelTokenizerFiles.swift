import Checkpoints
import Tokenization

/// The files of a byte-level BPE tokenizer, GPT-2's or RoBERTa's, as Hugging Face writes them.
struct ByteLevelTokenizerFiles {
  enum Family: String {
    case gpt2, roberta
  }

  let family: Family
  let vocabulary: MergeTrainer.Vocabulary

  /// The special tokens with the first ids.
  static func firstTokens(_ family: Family) -> [String] {
    family == .gpt2 ? ["<|endoftext|>"] : ["<s>", "<pad>", "</s>", "<unk>"]
  }

  /// Special tokens behind the merges.
  static func lastTokens(_ family: Family) -> [String] { family == .gpt2 ? [] : ["<mask>"] }

  private var pieces: [String] { vocabulary.pieces + Self.lastTokens(family) }
  private var vocabularyMembers: JSON {
    .object(Dictionary(uniqueKeysWithValues: pieces.enumerated().map { ($1, .integer($0)) }))
  }

  /// By file name.
  var json: [String: JSON] {
    ["vocab.json": vocabularyMembers, "tokenizer.json": tokenizer, "tokenizer_config.json": config]
  }

  var merges: String { "#version: 0.2\n" + vocabulary.merges.map { "\($0[0]) \($0[1])\n" }.joined() }

  private var config: JSON {
    let names: [String: JSON] =
      family == .gpt2
      ? ["bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"]
      : [
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
        "cls_token": "<s>", "mask_token": "<mask>",
      ]
    let common: [String: JSON] = [
      "tokenizer_class": family == .gpt2 ? "GPT2Tokenizer" : "RobertaTokenizer", "add_prefix_space": false,
      "clean_up_tokenization_spaces": false,
    ]
    return .object(common.merging(names) { $1 })
  }

  private var tokenizer: JSON {
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true]
    let special = (Self.firstTokens(family) + Self.lastTokens(family)).map { token -> JSON in
      [
        "id": .integer(pieces.firstIndex(of: token) ?? 0), "content": .string(token), "single_word": false,
        "lstrip": .bool(token == "<mask>"), "rstrip": false, "normalized": false, "special": true,
      ]
    }
    return [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(special), "normalizer": .null,
      "pre_tokenizer": byteLevel,
      "post_processor": family == .gpt2
        ? byteLevel
        : [
          "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true,
          "add_prefix_space": false,
        ],
      "decoder": byteLevel,
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabularyMembers,
        "merges": .array(vocabulary.merges.map { .array($0.map { .string($0) }) }),
      ],
    ]
  }
}
