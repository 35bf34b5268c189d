import CKernels
import Testing

/// The RMS norm against its formula in Double, its gradients against central differences.
@Suite struct KernelNormTests {
  private static let rows = 3
  private static let epsilon = 1e-6

  @Test(arguments: KernelSet.available, kernelSizes.dropFirst()) func forward(kernels: KernelSet, width: Int)
    throws
  {
    let table = try kernels.table()
    let x = sample(Self.rows * width, scale: 3), weight = sample(width, stream: 2)
    var y = x, inverse = [Float](repeating: 0, count: Self.rows)
    table.rms_norm(x, weight, &y, &inverse, Self.rows, width, Float(Self.epsilon))
    var expected = [Double](repeating: 0, count: x.count)
    reference_rms_norm(x, weight, &expected, Self.rows, width, Self.epsilon)
    #expect(excess(y, expected, absolute: 1e-7, relative: 1e-6) <= 0)
    for row in 0..<Self.rows {
      let squares = x[(row * width)..<((row + 1) * width)].reduce(0.0) { $0 + Double($1) * Double($1) }
      let exact = 1 / (squares / Double(width) + Self.epsilon).squareRoot()
      #expect(abs(Double(inverse[row]) - exact) <= 1e-6 * exact)
    }
  }

  @Test(arguments: KernelSet.available, [1, 15, 16, 17, 63]) func backward(kernels: KernelSet, width: Int)
    throws
  {
    let table = try kernels.table()
    let count = Self.rows * width
    let x = sample(count, scale: 2), weight = sample(width, stream: 2), dy = sample(count, stream: 3)
    var y = x, inverse = [Float](repeating: 0, count: Self.rows)
    table.rms_norm(x, weight, &y, &inverse, Self.rows, width, Float(Self.epsilon))
    let before = sample(count, stream: 4), weightBefore = sample(width, stream: 5)
    var dx = before, added = before, dweight = weightBefore
    table.rms_norm_backward(dy, x, weight, inverse, &dx, 0, &dweight, Self.rows, width)
    table.rms_norm_backward(dy, x, weight, inverse, &added, 1, nil, Self.rows, width)

    let numeric = (0..<count).map { index in
      centralDifference(x, at: index) { loss(x: $0, weight: weight, dy: dy, width: width) }
    }
    #expect(excess(dx, numeric, absolute: 2e-3, relative: 2e-3) <= 0)
    #expect(
      excess(added, zip(before, dx).map { Double($0) + Double($1) }, absolute: 1e-6, relative: 1e-6) <= 0)
    let numericWeight = (0..<width).map { index in
      Double(weightBefore[index])
        + centralDifference(weight, at: index) { loss(x: x, weight: $0, dy: dy, width: width) }
    }
    #expect(excess(dweight, numericWeight, absolute: 2e-3, relative: 2e-3) <= 0)
  }

  @Test(arguments: KernelSet.available, kernelSizes.dropFirst()) func layerForward(kernels: KernelSet, width: Int)
    throws
  {
    let table = try kernels.table()
    let x = sample(Self.rows * width, scale: 3), weight = sample(width, stream: 2), bias = sample(width, stream: 6)
    var y = x, mean = [Float](repeating: 0, count: Self.rows), inverse = mean
    table.layer_norm(x, weight, bias, &y, &mean, &inverse, Self.rows, width, 1e-5)
    var expected = [Double](repeating: 0, count: x.count)
    reference_layer_norm(x, weight, bias, &expected, Self.rows, width, 1e-5)
    // One column has no variance: what rounding leaves of it is multiplied by 1 / sqrt(epsilon).
    #expect(excess(y, expected, absolute: width == 1 ? 1e-4 : 2e-6, relative: 2e-6) <= 0)
    for row in 0..<Self.rows {
      let exact = x[(row * width)..<((row + 1) * width)].reduce(0.0) { $0 + Double($1) } / Double(width)
      #expect(abs(Double(mean[row]) - exact) <= 1e-6)
    }
  }

  @Test(arguments: KernelSet.available, [2, 15, 16, 17, 63]) func layerBackward(kernels: KernelSet, width: Int) throws {
    let table = try kernels.table()
    let count = Self.rows * width
    let x = sample(count, scale: 2), weight = sample(width, stream: 2), bias = sample(width, stream: 6)
    let dy = sample(count, stream: 3)
    var y = x, mean = [Float](repeating: 0, count: Self.rows), inverse = mean
    table.layer_norm(x, weight, bias, &y, &mean, &inverse, Self.rows, width, 1e-3)
    let before = sample(count, stream: 4), start = sample(width, stream: 5)
    var dx = before, added = before, dweight = start, dbias = start
    table.layer_norm_backward(dy, x, weight, mean, inverse, &dx, 0, &dweight, &dbias, Self.rows, width)
    table.layer_norm_backward(dy, x, weight, mean, inverse, &added, 1, nil, nil, Self.rows, width)
    func loss(_ x: [Float], _ weight: [Float], _ bias: [Float]) -> Double {
      var y = [Double](repeating: 0, count: count)
      reference_layer_norm(x, weight, bias, &y, Self.rows, width, 1e-3)
      return zip(y, dy).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let numeric = (0..<count).map { centralDifference(x, at: $0) { loss($0, weight, bias) } }
    #expect(excess(dx, numeric, absolute: 5e-3, relative: 5e-3) <= 0)
    #expect(
      excess(added, zip(before, dx).map { Double($0) + Double($1) }, absolute: 1e-6, relative: 1e-6) <= 0)
    let numericWeight = (0..<width).map { index in
      Double(start[index]) + centralDifference(weight, at: index) { loss(x, $0, bias) }
    }
    let numericBias = (0..<width).map { index in
      Double(start[index]) + centralDifference(bias, at: index) { loss(x, weight, $0) }
    }
    #expect(excess(dweight, numericWeight, absolute: 2e-3, relative: 2e-3) <= 0)
    #expect(excess(dbias, numericBias, absolute: 2e-3, relative: 2e-3) <= 0)
  }

  private func loss(x: [Float], weight: [Float], dy: [Float], width: Int) -> Double {
    var y = [Double](repeating: 0, count: x.count)
    reference_rms_norm(x, weight, &y, Self.rows, width, Self.epsilon)
    return zip(y, dy).reduce(0) { $0 + $1.0 * Double($1.1) }
  }
}

/// (f(x + h) - f(x - h)) / 2h for entry `index`, h the step that fp32 really took.
func centralDifference(_ x: [Float], at index: Int, _ f: ([Float]) -> Double) -> Double {
  var above = x, below = x
  above[index] += 0x1p-10
  below[index] -= 0x1p-10
  return (f(above) - f(below)) / (Double(above[index]) - Double(below[index]))
}
