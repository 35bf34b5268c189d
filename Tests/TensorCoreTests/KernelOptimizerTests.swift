import CKernels
import Testing

/// Ten AdamW updates against the same in Double.
@Suite struct KernelOptimizerTests {
  @Test(arguments: KernelSet.available, kernelSizes) func adamW(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let start = sample(count)
    var p = start, m = [Float](repeating: 0, count: count), v = m
    var expected = start.map(Double.init), mean = [Double](repeating: 0, count: count), square = mean
    for step in 1...10 {
      let gradient = sample(count, stream: UInt64(step), scale: 0.1)
      var factors = adamw_factors(
        rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1,
        correction1: 1 - power(0.9, step), correction2: 1 - power(0.999, step), complement1: 0.1,
        complement2: 0.001)
      table.adamw(&p, &m, &v, gradient, count, &factors)
      reference_adamw(&expected, &mean, &square, gradient, count, &factors)
    }
    #expect(excess(p, expected, absolute: 1e-6, relative: 1e-6) <= 0)
    #expect(excess(m, mean, absolute: 1e-8, relative: 1e-6) <= 0)
    #expect(excess(v, square, absolute: 1e-12, relative: 1e-6) <= 0)
  }

  private func power(_ base: Double, _ exponent: Int) -> Float {
    Float((0..<exponent).reduce(1.0) { product, _ in product * base })
  }
}
