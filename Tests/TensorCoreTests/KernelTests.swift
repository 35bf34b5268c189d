import CKernels
import Foundation
import Testing

/// The choice of a set, and what holds for every kernel: no dependence on alignment, no write beyond the end.
@Suite struct KernelTests {
  @Test func theBestOrTheNamedSetIsInUseAndUnknownSetsAreRefused() {
    let expected =
      ProcessInfo.processInfo.environment["PEFT_DIST_KERNELS"] ?? String(cString: kernels_name(kernels_best()))
    #expect(String(cString: kernels_name(kernels_selected())) == expected)
    #expect(kernels_select(kernel_set(rawValue: 9)) == -1)
    #expect(kernels_table(kernel_set(rawValue: 9)) == nil)
    #expect(String(cString: kernels_name(kernels_selected())) == expected)
    for (set, name) in [
      (KERNEL_SET_SCALAR, "scalar"), (KERNEL_SET_AVX2, "avx2"), (KERNEL_SET_AVX512, "avx512"),
      (KERNEL_SET_AVX512_BF16, "avx512-bf16"),
    ] {
      var found = kernel_set(rawValue: 9)
      #expect(String(cString: kernels_name(set)) == name)
      #expect(kernels_named(name, &found) == 0 && found == set)
    }
    var none = KERNEL_SET_SCALAR
    #expect(kernels_named("avx", &none) == -1 && kernels_named("", &none) == -1)
    #expect((String(cString: kernels_missing()) == "") == (kernels_best() != KERNEL_SET_SCALAR))
  }

  @Test func selectionSwitchesThePublicFunctions() async {
    await #expect(processExitsWith: .success) {
      let x = sample(1000)
      for kernels in KernelSet.available {
        #expect(kernels_select(kernels.set) == 0)
        #expect(kernels_selected() == kernels.set)
        var y = x, z = x
        k_activation(ACTIVATION_GELU_NEW, x, &y, 1000)
        try kernels.table().activation(ACTIVATION_GELU_NEW, x, &z, 1000)
        #expect(y == z)
      }
    }
  }

  @Test(arguments: KernelSet.available) func bitsDoNotDependOnAlignment(kernels: KernelSet) throws {
    let table = try kernels.table()
    for count in kernelSizes {
      let x = sample(count, scale: 4)
      let operations: [(UnsafeMutablePointer<Float>) -> Void] = [
        { table.activation(ACTIVATION_GELU, $0, $0, count) },
        { table.scale($0, 0.3, count) },
        { $0[0] = Float(table.sum_squares($0, count)) },
        { table.row_dots($0, x, $0, 1, count, count, count) },
        { pointer in
          var logSumExp: Float = 0
          table.softmax(pointer, 1, count, count, 0, nil, 0, 0.7, &logSumExp)
        },
        { pointer in
          var inverse: Float = 0
          table.rms_norm(x, pointer, pointer, &inverse, 1, count, 1e-6)
        },
        { _ = table.cross_entropy($0, [0], 1, count, 0.5) },
        { table.dropout($0, $0, [3], [4], 1, count, count, 99, 0.5) },
      ]
      for (number, operation) in operations.enumerated() where count > 0 {
        let aligned = shifted(x, by: 0, operation)
        for shift in [1, 3, 7, 15] {
          #expect(
            shifted(x, by: shift, operation) == aligned, "operation \(number), count \(count), shift \(shift)"
          )
        }
      }
    }
  }

  @Test(arguments: KernelSet.available, kernelSizes) func elementwise(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let a = sample(count), b = sample(count, stream: 2)
    var y = a
    table.add(a, b, &y, count)
    #expect(y == zip(a, b).map { $0 + $1 })
    table.multiply(a, b, &y, count)
    #expect(y == zip(a, b).map { $0 * $1 })
    y = a
    table.accumulate(&y, b, 0.3, count)
    #expect(
      excess(y, zip(a, b).map { Double($0) + Double(Float(0.3)) * Double($1) }, absolute: 1e-7, relative: 0)
        <= 0)
    table.scale(&y, 0, count)
    #expect(y.allSatisfy { $0 == 0 })
    table.fill(&y, 2.5, count)
    #expect(y == [Float](repeating: 2.5, count: count))
  }

  @Test(arguments: KernelSet.available, kernelSizes) func rowsAndColumns(kernels: KernelSet, width: Int)
    throws
  {
    let table = try kernels.table()
    let rows = 5
    let x = sample(rows * width), bias = sample(width, stream: 3)
    var y = x
    table.add_bias(&y, bias, rows, width)
    #expect(y == x.enumerated().map { $1 + bias[$0 % max(width, 1)] })
    var sums = bias
    table.column_sums(x, &sums, rows, width)
    let expected = (0..<width).map { column in (0..<rows).reduce(bias[column]) { $0 + x[$1 * width + column] }
    }
    #expect(sums == expected)
  }

  @Test(arguments: KernelSet.available, kernelSizes) func scans(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    var x = sample(count, scale: 1e3)
    let squares = x.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(table.sum_squares(x, count) - squares) <= 1e-14 * squares)
    #expect(table.max_abs(x, count) == (x.map(abs).max() ?? 0))
    #expect(table.all_finite(x, count) == 1)
    for position in [0, count / 2, count - 1] where count > 0 {
      let old = x[position]
      x[position] = -.infinity
      #expect(table.all_finite(x, count) == 0)
      #expect(table.max_abs(x, count) == .infinity)
      x[position] = .nan
      #expect(table.all_finite(x, count) == 0)
      #expect(table.max_abs(x, count).isNaN)
      x[position] = old
    }
  }
}
