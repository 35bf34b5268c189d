import Checkpoints
import Foundation
import Tokenization

/// The files of a T5 tokenizer beside `spiece.model`, as Hugging Face writes them.
///
/// `tokenizer.json` holds all there is, so that transformers needs no other library to read it; this program takes the scores from
/// it, too.
struct T5TokenizerFiles {
  let model: SentencePieceModel
  let sentinelCount: Int

  private static let special = ["<pad>", "</s>", "<unk>"]

  /// `<extra_id_0>` first; it has the highest id.
  private var sentinels: [String] { (0..<sentinelCount).map { "<extra_id_\($0)>" } }

  private var addedTokens: [(id: Int, text: String)] {
    Self.special.enumerated().map { ($0, $1) }
      + sentinels.reversed().enumerated().map { (model.count + $0, $1) }
  }

  var config: JSON {
    let entries = addedTokens.map { ("\($0.id)", Self.added($0.text, [:])) }
    return [
      "tokenizer_class": "T5Tokenizer", "extra_ids": .integer(sentinelCount), "pad_token": "<pad>",
      "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": 512, "clean_up_tokenization_spaces": false,
      "additional_special_tokens": .array(sentinels.map { .string($0) }),
      "added_tokens_decoder": .object(Dictionary(uniqueKeysWithValues: entries)),
    ]
  }

  var tokenizer: JSON {
    let pieces = (0..<Int32(model.count)).map { id -> JSON in
      [.string(model.piece(id)), .double(Double(model.score(id)))]
    }
    let metaspace: JSON = ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true]
    func sequence(_ id: JSON) -> JSON { ["Sequence": ["id": id, "type_id": 0]] }
    let end: JSON = ["SpecialToken": ["id": "</s>", "type_id": 0]]
    return [
      "version": "1.0", "truncation": .null, "padding": .null,
      "added_tokens": .array(addedTokens.map { Self.added($0.text, ["id": .integer($0.id)]) }),
      "normalizer": [
        "type": "Precompiled", "precompiled_charsmap": .string(Data(model.characterMap).base64EncodedString()),
      ],
      "pre_tokenizer": ["type": "Sequence", "pretokenizers": [["type": "WhitespaceSplit"], metaspace]],
      "post_processor": [
        "type": "TemplateProcessing", "single": [sequence("A"), end],
        "pair": [sequence("A"), end, sequence("B"), end],
        "special_tokens": ["</s>": ["id": "</s>", "ids": [1], "tokens": ["</s>"]]],
      ],
      "decoder": metaspace,
      "model": [
        "type": "Unigram", "unk_id": 2, "byte_fallback": false,
        "vocab": .array(pieces + sentinels.reversed().map { [.string($0), 0.0] }),
      ],
    ]
  }

  private static func added(_ text: String, _ more: [String: JSON]) -> JSON {
    let members: [String: JSON] = [
      "content": .string(text), "lstrip": false, "normalized": false, "rstrip": false, "single_word": false,
      "special": true,
    ]
    return .object(members.merging(more) { $1 })
  }
}
