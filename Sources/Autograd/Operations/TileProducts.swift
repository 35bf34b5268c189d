import CKernels
import TensorCore

func roundedToVectors(_ count: Int) -> Int { (count + 15) / 16 * 16 }

/// The products of attention tiles in fp32 or bfloat16, with the buffers for their packed operands.
///
/// Widths are those of one head, K; a tile of scores is `[rows, keys]` with rows `keys` (the stride) apart.
struct TileProducts {
  /// An operand with its distances in words.
  struct Left {
    let words: UnsafeRawPointer
    let rowStride: Int
    /// Keeps converted words alive.
    let owner: Storage?
  }

  private let kind: operand_kind
  private let headWidth: Int
  private let width: Int
  private let stride: Int
  private let pool: BufferPool
  /// bfloat16 forms of the left operands: of scores by row, of scores in pairs of rows, of the columns of one head.
  private let scoreBits: Tensor
  private let pairBits: Tensor
  private let rowBits: Tensor

  /// - Parameter keys: distance between the rows of a tile of scores, a multiple of 16.
  init(form: AttentionForm, rows: Int, keys: Int, pool: BufferPool) {
    kind = form.isPaired ? OPERAND_BF16 : OPERAND_FP32
    headWidth = form.headWidth
    width = form.width
    stride = keys
    self.pool = pool
    let isPaired = kind == OPERAND_BF16
    scoreBits = Tensor([isPaired ? rows * keys / 2 : 1], in: pool)
    pairBits = Tensor([isPaired ? (rows + 1) / 2 * keys : 1], in: pool)
    rowBits = Tensor([isPaired ? rows * form.headWidth / 2 : 1], in: pool)
  }

  /// Steps of a sum over `count` entries.
  private func steps(_ count: Int) -> Int { kind == OPERAND_FP32 ? count : (count + 1) / 2 }

  // MARK: Right operands

  /// Room for the columns of a head over all keys, summed over the head's width.
  func rightColumns() -> Tensor { Tensor([steps(headWidth), stride], in: pool) }
  /// Room for rows of a head, summed over those rows.
  func rightRows(_ count: Int) -> Tensor { Tensor([steps(count), roundedToVectors(headWidth)], in: pool) }

  func packColumns(_ x: UnsafePointer<Float>, rows: Int, into y: Tensor) {
    k_pack_columns(kind, x, width, y.pointer, stride, rows, headWidth)
  }

  func packRows(_ x: UnsafePointer<Float>, rows: Int, into y: Tensor) {
    k_pack_rows(kind, x, width, y.pointer, roundedToVectors(headWidth), rows, headWidth)
  }

  // MARK: Left operands

  /// Rows of one head.
  func left(_ x: UnsafePointer<Float>, stride: Int, rows: Int) -> Left {
    guard kind == OPERAND_BF16 else { return Left(words: x, rowStride: stride, owner: nil) }
    let bits = UnsafeMutableRawPointer(rowBits.pointer)
    k_pack_left(x, stride, bits.assumingMemoryBound(to: UInt32.self), headWidth / 2, rows, headWidth)
    return Left(words: bits, rowStride: headWidth / 2, owner: rowBits.storage)
  }

  /// A tile of scores, summed over its keys.
  func leftScores(_ x: Tensor, rows: Int, keys: Int) -> Left {
    guard kind == OPERAND_BF16 else { return Left(words: x.pointer, rowStride: stride, owner: x.storage) }
    let bits = UnsafeMutableRawPointer(scoreBits.pointer)
    k_pack_left(x.pointer, stride, bits.assumingMemoryBound(to: UInt32.self), stride / 2, rows, keys)
    return Left(words: bits, rowStride: stride / 2, owner: scoreBits.storage)
  }

  // MARK: Products

  /// `scores [rows, columns] = x yᵀ`, y packed by `packColumns`.
  func overWidth(_ x: Left, _ y: Tensor, into scores: Tensor, rows: Int, columns: Int) {
    k_tile_product(
      kind, x.words, x.rowStride, 1, y.pointer, stride, scores.pointer, stride, rows, columns, steps(headWidth), 1, 0)
  }

  /// `z [rows, K] = alpha * scores y`, y packed by `packRows`.
  func overKeys(
    _ scores: Left, _ y: Tensor, keys: Int, into z: UnsafeMutablePointer<Float>, rows: Int, alpha: Float = 1
  ) {
    k_tile_product(
      kind, scores.words, scores.rowStride, 1, y.pointer, roundedToVectors(headWidth), z, width, rows, headWidth,
      steps(keys), alpha, 0)
  }

  /// `z [keys, K] = alpha * scoresᵀ y (+ z)`, y packed by `packRows`.
  func overQueries(
    _ scores: Tensor, _ y: Tensor, into z: UnsafeMutablePointer<Float>, queries: Int, keys: Int, alpha: Float,
    adds: Bool
  ) {
    var words = UnsafeRawPointer(scores.pointer)
    if kind == OPERAND_BF16 {
      k_pack_rows(kind, scores.pointer, stride, pairBits.pointer, stride, queries, keys)
      words = UnsafeRawPointer(pairBits.pointer)
    }
    k_tile_product(
      kind, words, 1, stride, y.pointer, roundedToVectors(headWidth), z, width, keys, headWidth, steps(queries), alpha,
      adds ? 1 : 0)
  }
}
