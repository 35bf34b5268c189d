import CKernels
import TensorCore

extension Tape {
  /// Rows of a table: `y[i] = table[ids[i]]`.
  ///
  /// Shapes: table `[V, D]`, y `[n, D]`, of fp16 numbers if the table is. Gradient: added to the rows of the table in the order of `ids`.
  public func embedding(_ table: Variable, ids: [Int32]) -> Variable {
    let (count, width) = (table.shape[0], table.shape[1])
    let value = allocate([ids.count, width])
    for (row, id) in ids.enumerated() {
      precondition(id >= 0 && id < count, "embedding: id \(id) of a table with \(count) rows")
      (value.pointer + row * width).update(from: table.value.pointer + Int(id) * width, count: width)
    }
    let output = table.isHalf ? halfResult(value, of: table, isRounded: true) : result(value, of: table)
    record(output) { [self] gradient in
      guard let target = table.slot?.accumulator(in: pool) else { return }
      for (row, id) in ids.enumerated() {
        k_accumulate(target.pointer + Int(id) * width, gradient.pointer + row * width, 1, width)
      }
    }
    return output
  }

  /// The same rows in front of every sequence: soft prompts, and prefixes of keys and values.
  ///
  /// Shapes: rows `[P, D]`, x `[n, D]` packed as `layout`, result `[n + sequences * P, D]` packed as
  /// `layout.lengthened(by: P)`; of fp16 numbers if x is. Gradient: to `rows` summed over the sequences in order, to x its
  /// own rows.
  public func prepend(_ rows: Variable, to x: Variable, layout: PackedLayout) -> Variable {
    let (count, width) = (rows.value.rows, rows.value.width)
    precondition(x.value.width == width, "prepend: rows \(rows.shape) to \(x.shape)")
    let longer = layout.lengthened(by: count)
    let first = x.isHalf ? operand(rows) : rows
    let value = allocate([longer.tokenCount, width])
    for sequence in 0..<layout.sequenceCount {
      let target = value.pointer + longer.starts[sequence] * width
      target.update(from: first.value.pointer, count: count * width)
      (target + count * width).update(
        from: x.value.pointer + layout.starts[sequence] * width, count: layout.lengths[sequence] * width)
    }
    let output = x.isHalf ? halfResult(value, of: rows, x, isRounded: true) : result(value, of: rows, x)
    let (rowsSlot, inputSlot) = (rows.slot, x.slot)
    let inputShape = x.shape
    record(output) { [self] gradient in
      if let rowsSlot {
        let target = rowsSlot.accumulator(in: pool)
        for start in longer.starts {
          k_accumulate(target.pointer, gradient.pointer + start * width, 1, count * width)
        }
      }
      if let inputSlot {
        let target = allocate(inputShape)
        for sequence in 0..<layout.sequenceCount {
          (target.pointer + layout.starts[sequence] * width).update(
            from: gradient.pointer + (longer.starts[sequence] + count) * width,
            count: layout.lengths[sequence] * width)
        }
        inputSlot.add(target, in: pool)
      }
    }
    return output
  }

  /// Rows `range` of `x`, as a value of its own; the gradient flows into those rows only.
  public func rows(_ x: Variable, _ range: Range<Int>) -> Variable {
    let part = x.value.rows(range)
    let output = x.isHalf ? halfResult(part, of: x, isRounded: true) : result(part, of: x)
    let width = x.value.width
    let slot = x.slot
    record(output) { [self] gradient in
      guard let target = slot?.accumulator(in: pool) else { return }
      k_accumulate(target.pointer + range.lowerBound * width, gradient.pointer, 1, gradient.count)
    }
    return output
  }

  /// x with the rows of `sequences` taken from `other`. Shapes: all `[n, W]`; the result is of fp16 numbers if x is. Gradient:
  /// to both, of all rows: each comes from an operation over the rows it gives.
  public func replacingRows(of x: Variable, _ sequences: PackedLayout, by other: Variable) -> Variable {
    precondition(x.shape == other.shape, "rows of \(other.shape) for \(x.shape)")
    let value = allocate(x.shape)
    value.copyElements(from: x.value)
    for (start, length) in zip(sequences.starts, sequences.lengths) {
      value.rows(start..<start + length).copyElements(from: other.value.rows(start..<start + length))
    }
    let output = x.isHalf ? halfResult(value, of: x, other) : result(value, of: x, other)
    let slots = [x.slot, other.slot]
    record(output) { [self] gradient in
      for slot in slots { slot?.add(gradient, in: pool) }
    }
    return output
  }
}
