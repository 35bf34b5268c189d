import Autograd
import NN
import TensorCore

extension T5Stack {
  /// Each block, and the final norm.
  var stageCount: Int { blocks.count + 1 }
}

extension T5 {
  public func frozenDepth(_ pass: ForwardPass) -> Int {
    let layout = PackedLayout(lengths: [2], examples: [0])
    var x = pass.tape.embedding(pass.variable(encoderEmbedding), ids: [configuration.padID, configuration.padID])
    guard !x.needsGradient, pass.seams.inputEmbeddings(.encoder, x, layout, pass) == nil else { return 0 }
    for stage in 0..<encoder.stageCount {
      x = stages(stage..<stage + 1, of: encoder, x, layout, pass)
      if x.needsGradient { return stage }
    }
    return encoder.stageCount
  }

  public func frozenStates(source: [Int32], depth: Int, _ pass: ForwardPass) -> Tensor {
    let layout = PackedLayout(lengths: [source.count], examples: [0])
    let embedded = pass.tape.embedding(pass.variable(encoderEmbedding), ids: source)
    return stages(0..<depth, of: encoder, embedded, layout, pass).value
  }
}
