import Models

/// Published shapes that measurements are made with, their weights random.
enum BenchShape: String, CaseIterable {
  case small
  case base
  case gpt2
  case roberta

  var model: FreshModel {
    switch self {
    case .small: Self.t5(hiddenSize: 512, feedForwardSize: 2048, layerCount: 6, headCount: 8)
    case .base: Self.t5(hiddenSize: 768, feedForwardSize: 3072, layerCount: 12, headCount: 12)
    case .gpt2: FreshModel(.gpt2, Self.ofWidth768(vocabularySize: 50257, positionCount: 1024))
    case .roberta:
      FreshModel(
        .roberta,
        {
          var shape = Self.ofWidth768(vocabularySize: 50265, positionCount: 512)
          shape.labelCount = 2
          return shape
        }())
    }
  }

  private static func t5(hiddenSize: Int, feedForwardSize: Int, layerCount: Int, headCount: Int) -> FreshModel {
    var shape = FreshModelShape(
      vocabularySize: 32128, hiddenSize: hiddenSize, layerCount: layerCount, headCount: headCount)
    shape.feedForwardSize = feedForwardSize
    shape.headWidth = 64
    shape.dropoutRate = 0
    return FreshModel(.t5, shape)
  }

  /// GPT-2 small and RoBERTa-base.
  private static func ofWidth768(vocabularySize: Int, positionCount: Int) -> FreshModelShape {
    var shape = FreshModelShape(vocabularySize: vocabularySize, hiddenSize: 768, layerCount: 12, headCount: 12)
    shape.positionCount = positionCount
    shape.dropoutRate = 0
    return shape
  }
}
