import CKernels
import TensorCore

extension Tape {
  /// Every column by a factor of its own: `y[i, c] = x[i, c] * factors[c]`.
  ///
  /// Shapes: x, y `[n, W]`, factors of W elements, whatever their shape (`[W, 1]` and `[1, W]` in IA3's files); y is of fp16
  /// numbers if x is. Gradient: to x and to the factors.
  public func columnScaled(_ x: Variable, by factors: Variable) -> Variable {
    let (rows, width) = (x.value.rows, x.value.width)
    precondition(factors.value.count == width, "column factors \(factors.shape) for \(x.shape)")
    let value = scaledColumns(x.value, by: factors.value)
    let output = x.isHalf ? halfResult(value, of: x, factors) : result(value, of: x, factors)
    guard output.needsGradient else { return output }
    let kept = factors.needsGradient ? keep(x) : nil
    let inputSlot = x.slot
    record(output) { [self] gradient in
      if let target = factors.slot?.accumulator(in: pool), let kept {
        let products = allocate([rows, width])
        let x = kept.value(in: pool)
        k_multiply(gradient.pointer, x.pointer, products.pointer, gradient.count)
        k_column_sums(products.pointer, target.pointer, rows, width)
      }
      if let inputSlot { inputSlot.add(scaledColumns(gradient, by: factors.value), in: pool) }
    }
    return output
  }

  private func scaledColumns(_ x: Tensor, by factors: Tensor) -> Tensor {
    let result = allocate(x.shape)
    for row in 0..<x.rows {
      k_multiply(
        x.pointer + row * x.width, factors.pointer, result.pointer + row * x.width, x.width)
    }
    return result
  }

  /// Columns `range` of `x [n, W]`, as a value of its own; the gradient flows into those columns only.
  public func columns(_ x: Variable, _ range: Range<Int>) -> Variable {
    let (rows, width, count) = (x.value.rows, x.value.width, range.count)
    precondition(range.lowerBound >= 0 && range.upperBound <= width, "columns \(range) of \(x.shape)")
    let value = allocate([rows, count])
    for row in 0..<rows {
      (value.pointer + row * count).update(from: x.value.pointer + row * width + range.lowerBound, count: count)
    }
    let output = result(value, of: x)
    let slot = x.slot
    record(output) { [self] gradient in
      guard let target = slot?.accumulator(in: pool) else { return }
      for row in 0..<rows {
        k_accumulate(
          target.pointer + row * width + range.lowerBound, gradient.pointer + row * count, 1, count)
      }
    }
    return output
  }

  /// `x [n, parts * W]` as its parts `[n, W]`, of fp16 numbers if x is; each gradient flows into its own columns.
  public func split(_ x: Variable, into parts: Int) -> [Variable] {
    let (rows, width) = (x.value.rows, x.value.width)
    precondition(width.isMultiple(of: parts), "\(x.shape) in \(parts) parts")
    let count = width / parts
    let (slot, shape) = (x.slot, x.shape)
    return (0..<parts).map { part in
      let value = allocate([rows, count])
      for row in 0..<rows {
        (value.pointer + row * count).update(from: x.value.pointer + row * width + part * count, count: count)
      }
      let output = x.isHalf ? halfResult(value, of: x, isRounded: true) : result(value, of: x)
      record(output) { [self] gradient in
        precondition(gradient.shape == [rows, count], "gradient \(gradient.shape) of a part of \(shape)")
        guard let target = slot?.accumulator(in: pool) else { return }
        for row in 0..<rows {
          k_accumulate(target.pointer + row * width + part * count, gradient.pointer + row * count, 1, count)
        }
      }
      return output
    }
  }

  /// `[a, b]` side by side. Shapes: a `[n, U]`, b `[n, W]`, result `[n, U + W]`.
  public func besides(_ a: Variable, _ b: Variable) -> Variable {
    let (rows, left, right) = (a.value.rows, a.value.width, b.value.width)
    precondition(rows == b.value.rows, "side by side: \(a.shape) and \(b.shape)")
    let width = left + right
    let value = allocate([rows, width])
    for row in 0..<rows {
      (value.pointer + row * width).update(from: a.value.pointer + row * left, count: left)
      (value.pointer + row * width + left).update(from: b.value.pointer + row * right, count: right)
    }
    let output = result(value, of: a, b)
    let parts = [(a.slot, 0, left), (b.slot, left, right)]
    record(output) { [self] gradient in
      for case (let slot?, let first, let count) in parts {
        let target = allocate([rows, count])
        for row in 0..<rows {
          (target.pointer + row * count).update(from: gradient.pointer + row * width + first, count: count)
        }
        slot.add(target, in: pool)
      }
    }
    return output
  }

  /// `a` above `b`, of equal width: `[n, W]` and `[m, W]` give `[n + m, W]`.
  public func above(_ a: Variable, _ b: Variable) -> Variable {
    let (width, first, second) = (a.value.width, a.value.rows, b.value.rows)
    precondition(width == b.value.width, "one above the other: \(a.shape) and \(b.shape)")
    let value = allocate([first + second, width])
    value.rows(0..<first).copyElements(from: a.value)
    value.rows(first..<first + second).copyElements(from: b.value)
    let output = result(value, of: a, b)
    let (upper, lower) = (a.slot, b.slot)
    record(output) { [self] gradient in
      upper?.add(gradient.rows(0..<first), in: pool)
      lower?.add(gradient.rows(first..<first + second), in: pool)
    }
    return output
  }

  /// `y = x ÷ divisors`, element by element; nobody differentiates the divisors.
  public func quotient(_ x: Variable, by divisors: Tensor) -> Variable {
    precondition(x.value.count == divisors.count, "quotient: \(x.shape) by \(divisors.shape)")
    func divided(_ numerators: Tensor) -> Tensor {
      let result = allocate(x.shape)
      for index in 0..<result.count { result.pointer[index] = numerators.pointer[index] / divisors.pointer[index] }
      return result
    }
    let output = result(divided(x.value), of: x)
    let slot = x.slot
    record(output) { [self] gradient in slot?.add(divided(gradient), in: pool) }
    return output
  }

  /// `y[i, c] = x[i, c] + bias[c]`.
  public func biased(_ x: Variable, by bias: Variable) -> Variable {
    let (rows, width) = (x.value.rows, x.value.width)
    precondition(bias.value.count == width, "bias \(bias.shape) for \(x.shape)")
    let value = allocate(x.shape)
    value.copyElements(from: x.value)
    k_add_bias(value.pointer, bias.value.pointer, rows, width)
    let output = x.isHalf ? halfResult(value, of: x, bias) : result(value, of: x, bias)
    let inputSlot = x.slot
    record(output) { [self] gradient in
      if let target = bias.slot?.accumulator(in: pool) {
        k_column_sums(gradient.pointer, target.pointer, rows, width)
      }
      inputSlot?.add(gradient, in: pool)
    }
    return output
  }
}
