import CKernels
import Testing

/// The bits of every kernel on fixed inputs: the same in every set, on every CPU, from every compiler.
///
/// The digests are constants, so whichever machine runs them proves that it computes what the others do.
@Suite struct KernelAgreementTests {
  private static let digests: [String: UInt32] = [
    "activation 0": 0xfa94ae58,
    "gated 0": 0x22448031,
    "gated_backward 0": 0x6fa3d44c,
    "activation 1": 0x25a1a6d8,
    "gated 1": 0xe4b7e031,
    "gated_backward 1": 0xbdcad6ad,
    "activation 2": 0x027b7159,
    "gated 2": 0x8b1f5b25,
    "gated_backward 2": 0xd765baf5,
    "activation 3": 0xfa002ddd,
    "gated 3": 0x32afe28f,
    "gated_backward 3": 0xf5d0fd7d,
    "activation 4": 0xcc138ec2,
    "gated 4": 0x219f02d8,
    "gated_backward 4": 0x76ad11d4,
    "accumulate, scale": 0xd428cf9e,
    "column_sums": 0x99701ded,
    "sum_squares": 0x4a3f4528,
    "adamw": 0x07056580,
    "fixed_point": 0x8bf35a15,
    "dropout": 0xbc1cdcc8,
    "rms_norm": 0x2aeef9e1,
    "layer_norm": 0xb03c0e93,
    "softmax 0": 0xfb0bf9ae,
    "softmax 1": 0xad03b4d0,
    "softmax_backward": 0xe051f85c,
    "step_attention 64": 0x08c401f3,
    "step_attention 24": 0xf45b3587,
    "log_softmax": 0x2db70bbb,
    "cross_entropy": 0x50293242,
    "product 0": 0x67b1e3ca,
    "product 1": 0x9f7acf83,
    "weight_product 0": 0x8528c451,
    "weight_product 1": 0x990e9ac1,
    "weight_product 2": 0x775bb8ef,
    "round_bf16": 0xd92fff16,
    "round_fp16": 0xc2c35221,
  ]

  @Test(arguments: KernelSet.available) func everySetGivesTheSameBits(kernels: KernelSet) throws {
    let found = try Self.results(of: kernels.table())
    #expect(found.count == Self.digests.count)
    for (name, digest) in found {
      #expect(digest == Self.digests[name], "\(name): 0x\(String(digest, radix: 16))")
    }
  }

  /// Rows x width of the inputs: a part of a vector lies behind whole ones.
  private static let (rows, width) = (5, 83)
  private static let count = rows * width

  /// FNV-1a.
  private static func digest(_ arrays: [Float]...) -> UInt32 {
    var hash: UInt32 = 2_166_136_261
    for value in arrays.joined() {
      for shift in stride(from: 0, to: 32, by: 8) { hash = (hash ^ (value.bitPattern >> shift & 255)) &* 16_777_619 }
    }
    return hash
  }

  private static func digest(_ value: Double) -> UInt32 {
    digest([
      Float(bitPattern: UInt32(truncatingIfNeeded: value.bitPattern)),
      Float(bitPattern: UInt32(value.bitPattern >> 32)),
    ])
  }

  private static func results(of table: kernel_table) throws -> [(String, UInt32)] {
    elementwise(table) + norms(table) + attention(table) + losses(table) + products(table) + conversions(table)
  }

  private static func elementwise(_ table: kernel_table) -> [(String, UInt32)] {
    var results: [(String, UInt32)] = []
    let (x, b, dy) = (sample(count, scale: 6), sample(count, stream: 2), sample(count, stream: 3))
    var (y, other) = (b, b)
    for kind in [ACTIVATION_RELU, ACTIVATION_GELU_NEW, ACTIVATION_GELU, ACTIVATION_SILU, ACTIVATION_TANH] {
      table.activation(kind, x, &y, count)
      table.activation_backward(kind, dy, x, &other, count)
      results.append(("activation \(kind.rawValue)", digest(y, other)))
      table.gated(kind, x, b, &y, count)
      results.append(("gated \(kind.rawValue)", digest(y)))
      table.gated_backward(kind, dy, x, b, &y, &other, count)
      results.append(("gated_backward \(kind.rawValue)", digest(y, other)))
    }
    y = b
    table.accumulate(&y, x, 0.37, count)
    table.scale(&y, 0.77, count)
    results.append(("accumulate, scale", digest(y)))
    y = sample(width, stream: 4)
    table.column_sums(x, &y, rows, width)
    results.append(("column_sums", digest(y)))
    results.append(("sum_squares", digest(table.sum_squares(x, count))))
    var factors = adamw_factors(
      rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1, correction1: 0.3, correction2: 0.003,
      complement1: 0.1, complement2: 0.001)
    var (p, m, v) = (x, b, b.map { $0 * $0 })
    table.adamw(&p, &m, &v, dy, count, &factors)
    results.append(("adamw", digest(p, m, v)))
    var sum = [Int64](repeating: 0, count: count)
    _ = table.fixed_point_add(&sum, x, count, 40)
    _ = table.fixed_point_add(&sum, b, count, 40)
    y = x
    table.fixed_point_read(sum, &y, count, 40)
    results.append(("fixed_point", digest(y)))
    let numbers = (0..<UInt32(rows)).map { $0 }
    y = x
    table.dropout(x, &y, numbers, numbers, rows, width, width, 7, 0.3)
    results.append(("dropout", digest(y)))
    return results
  }

  private static func norms(_ table: kernel_table) -> [(String, UInt32)] {
    let (x, dy) = (sample(count, scale: 3), sample(count, stream: 2))
    let (weight, bias) = (sample(width, stream: 3), sample(width, stream: 4))
    var (y, dx) = (x, x)
    var (mean, inverse) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
    var (dweight, dbias) = ([Float](repeating: 0, count: width), [Float](repeating: 0, count: width))
    table.rms_norm(x, weight, &y, &inverse, rows, width, 1e-6)
    table.rms_norm_backward(dy, x, weight, inverse, &dx, 1, &dweight, rows, width)
    let rms = digest(y, inverse, dx, dweight)
    table.layer_norm(x, weight, bias, &y, &mean, &inverse, rows, width, 1e-5)
    table.layer_norm_backward(dy, x, weight, mean, inverse, &dx, 1, &dweight, &dbias, rows, width)
    return [("rms_norm", rms), ("layer_norm", digest(y, mean, inverse, dx, dweight, dbias))]
  }

  private static func attention(_ table: kernel_table) -> [(String, UInt32)] {
    var results: [(String, UInt32)] = []
    let bias = sample(2 * width, stream: 5)
    var logSumExp = [Float](repeating: 0, count: rows)
    for causal in [Int32(0), 1] {
      var (s, again) = (sample(count, scale: 9), sample(count, scale: 9))
      bias.withUnsafeBufferPointer { bias in
        let zero = bias.baseAddress.map { $0 + width }
        table.softmax(&s, rows, width, width, 40, zero, causal, 0.4, &logSumExp)
        table.softmax_again(&again, rows, width, width, 40, zero, causal, 0.4, logSumExp)
      }
      results.append(("softmax \(causal)", digest(s, again, logSumExp)))
    }
    let (p, dp) = (sample(count, stream: 6), sample(count, stream: 7))
    var (dz, delta) = (dp, logSumExp)
    table.row_dots(p, dp, &delta, rows, width, width, width)
    table.softmax_backward(p, &dz, delta, rows, width, width)
    results.append(("softmax_backward", digest(dz, delta)))
    for columns in [64, 24] {
      let (heads, keys) = (2, 1100)
      let q = sample(2 * heads * columns, stream: 8, scale: 3)
      let cache = sample(heads * keys * columns, stream: 9)
      let values = sample(heads * keys * columns, stream: 10)
      var context = q
      table.step_attention(
        q, &context, 2, heads, columns, cache, values, keys * columns, nil, 1093, nil, 0, 0.3)
      results.append(("step_attention \(columns)", digest(context)))
    }
    return results
  }

  private static func losses(_ table: kernel_table) -> [(String, UInt32)] {
    var logits = sample(count, stream: 11, scale: 8)
    table.log_softmax(&logits, rows, width)
    let log = digest(logits)
    logits = sample(count, stream: 11, scale: 8)
    let loss = table.cross_entropy(&logits, [3, -100, 0, 82, 40], rows, width, 0.2)
    return [("log_softmax", log), ("cross_entropy", digest(loss) ^ digest(logits))]
  }

  private static func products(_ table: kernel_table) -> [(String, UInt32)] {
    let (m, n, k) = (7, 45, 300)
    let (x, w) = (sample(m * k), sample(n * k, stream: 2))
    var results: [(String, UInt32)] = []
    for kind in [OPERAND_FP32, OPERAND_BF16] {
      var y = sample(m * n, stream: 3)
      table.product(kind, x, k, 1, w, 1, k, &y, n, m, n, k, 0.3, 1)
      results.append(("product \(kind.rawValue)", digest(y)))
    }
    for format in [WEIGHT_FP32, WEIGHT_FP16, WEIGHT_BF16] {
      var panels = [Float](repeating: 0, count: 48 * k)
      var (y, dx) = ([Float](repeating: 0, count: m * n), x)
      table.pack_weight(format, w, k, 1, &panels, n, k)
      table.weight_product(format, x, k, panels, &y, n, m, n, k)
      table.weight_product_back(format, y, n, panels, &dx, k, m, n, k)
      results.append(("weight_product \(format.rawValue)", digest(y, dx)))
    }
    return results
  }

  private static func conversions(_ table: kernel_table) -> [(String, UInt32)] {
    let scales: [Float] = [1e-40, 3e-6, 9e4]
    let x = sample(count, stream: 17).enumerated().map { $1 * scales[$0 % 3] }
    var (bf16, fp16) = (x, x)
    table.round_bf16(x, &bf16, count)
    table.round_fp16(x, &fp16, count)
    return [("round_bf16", digest(bf16)), ("round_fp16", digest(fp16))]
  }
}
