import Checkpoints
import Foundation
import NN
import TensorCore

/// How the first values of a weight are drawn.
public enum FreshValues: Sendable, Equatable {
  /// Normal with mean 0; a row that stands for padding is zero.
  case normal(deviation: Double, zeroRow: Int? = nil)
  case constant(Float)
}

/// One weight of a model that has learned nothing yet.
public struct FreshWeight: Sendable, Equatable {
  public let name: String
  public let shape: [Int]
  public let values: FreshValues

  public init(_ name: String, _ shape: [Int], _ values: FreshValues) {
    self.name = name
    self.shape = shape
    self.values = values
  }

  /// - Parameter generator: of this weight alone.
  func tensor(_ generator: CounterGenerator) -> Tensor {
    switch values {
    case .constant(let value):
      let tensor = Tensor(zeros: shape)
      tensor.fill(value)
      return tensor
    case .normal(let deviation, let zeroRow):
      let tensor = Initialization.normal(shape, deviation: deviation, generator)
      if let zeroRow { tensor.rows(zeroRow..<zeroRow + 1).fill(0) }
      return tensor
    }
  }
}

/// Size and form of a model to be made; what is nil follows from the rest by the custom of its family.
public struct FreshModelShape: Sendable, Equatable {
  public var vocabularySize: Int
  public var hiddenSize: Int
  public var layerCount: Int
  public var headCount: Int
  /// T5 only; otherwise as many as `layerCount`.
  public var decoderLayerCount: Int?
  /// T5 only; otherwise hidden size ÷ heads.
  public var headWidth: Int?
  /// Otherwise four times the hidden size.
  public var feedForwardSize: Int?
  /// Tokens of the longest text, special ones included; T5 knows no bound.
  public var positionCount: Int?
  /// RoBERTa and BERT: a classifier for so many labels instead of the head that names masked tokens.
  public var labelCount: Int?
  /// GPT-2 only: the token that ends a text, and begins one; otherwise the last of the vocabulary, as in GPT-2's own.
  public var endOfTextID: Int?
  /// T5 only: gated feed-forward and a head of its own, as T5 1.1 and Flan have them.
  public var isGated = false
  public var dropoutRate = 0.1

  public init(vocabularySize: Int, hiddenSize: Int, layerCount: Int, headCount: Int) {
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layerCount = layerCount
    self.headCount = headCount
  }

  public var wideSize: Int { feedForwardSize ?? 4 * hiddenSize }
}

/// A model that has learned nothing yet: configuration and weights as Hugging Face's `_init_weights` of the family makes them.
public struct FreshModel: Sendable {
  /// Families that can be made.
  public enum Family: String, Sendable, CaseIterable {
    case t5, gpt2, roberta, bert
  }

  public let config: [String: JSON]
  /// Defaults of generation, where the family generates.
  public let generation: [String: JSON]?
  public let weights: [FreshWeight]

  public init(_ family: Family, _ shape: FreshModelShape) {
    switch family {
    case .t5: self = .t5(shape)
    case .gpt2: self = .gpt2(shape)
    case .roberta: self = .roberta(shape)
    case .bert: self = .bert(shape)
    }
  }

  init(config: [String: JSON], generation: [String: JSON]?, weights: [FreshWeight]) {
    self.config = config
    self.generation = generation
    self.weights = weights
  }

  /// Writes `config.json`, `generation_config.json` and `model.safetensors`. The same seed gives the same bytes.
  ///
  /// - Parameter type: F32 or BF16, to which values are rounded.
  /// - Returns: size and SHA-256 of the weights.
  /// - Throws: `CheckpointError` naming the path.
  @discardableResult
  public func write(to folder: URL, seed: UInt64, as type: SafetensorsType = .f32) throws -> FileDigest {
    let tensors = weights.enumerated().map { number, weight in
      (
        weight.name,
        weight.tensor(CounterGenerator(seed: seed, purpose: .freshModel, site: UInt32(number)))
      )
    }
    let stored: [String: JSON] = ["dtype": type.dtype]
    return try ModelFolder.write(
      config: .object(config.merging(stored) { $1 }), generation: generation.map(JSON.object), tensors: tensors,
      as: type, to: folder)
  }
}
