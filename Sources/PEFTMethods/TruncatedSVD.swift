import TensorCore

/// The largest singular values of a matrix and their vectors, by Golub-Kahan-Lanczos bidiagonalisation with full
/// reorthogonalisation (Golub & Van Loan, "Matrix computations", §10.4.4).
///
/// Plain double arithmetic in one fixed order: the same bits on every machine.
enum TruncatedSVD {
  struct Triplet {
    let value: Double
    /// `[rows]`
    let left: [Double]
    /// `[columns]`
    let right: [Double]
  }

  /// Singular vectors count as found when their residual is below this share of the largest value.
  private static let tolerance = 1e-8

  private static func transposed(_ matrix: Tensor) -> Tensor {
    let result = Tensor(zeros: [matrix.width, matrix.rows])
    for row in 0..<matrix.rows {
      for column in 0..<matrix.width {
        result.pointer[column * matrix.rows + row] = matrix.pointer[row * matrix.width + column]
      }
    }
    return result
  }

  /// The `count` largest, falling. `matrix`: `[rows, columns]`, at least `count` of each.
  static func largest(_ count: Int, of matrix: Tensor) -> [Triplet] {
    precondition(count <= min(matrix.rows, matrix.width), "\(count) singular values of a matrix \(matrix.shape)")
    guard matrix.rows >= matrix.width else {
      return largest(count, of: transposed(matrix)).map { Triplet(value: $0.value, left: $0.right, right: $0.left) }
    }
    var basis = LanczosBasis(matrix)
    // With as many right vectors as columns nothing is left over.
    let limit = matrix.width
    var next = min(limit, 2 * count + 16)
    while true {
      while basis.count < next { basis.extend() }
      let small = JacobiSVD(basis.bidiagonal)
      let scale = small.values.first ?? 0
      let isFound = small.values.indices.prefix(count).allSatisfy {
        abs(small.left[$0][basis.count - 1]) * basis.remainder <= tolerance * scale
      }
      if isFound || basis.count == limit {
        return (0..<count).map { index in
          Triplet(
            value: small.values[index], left: basis.combined(basis.left, small.left[index]),
            right: basis.combined(basis.right, small.right[index]))
        }
      }
      next = min(limit, basis.count + basis.count / 2)
    }
  }
}

/// Orthonormal `left` and `right` with `M right = left B`, B upper bidiagonal.
private struct LanczosBasis {
  private let matrix: Tensor
  private let generator = CounterGenerator(seed: 0, purpose: .initialization, site: 0x5356_4400)
  private(set) var left: [[Double]] = []
  private(set) var right: [[Double]] = []
  private var diagonal: [Double] = []
  private var above: [Double] = []
  private var draws: UInt32 = 0
  /// The next right vector, not yet used, and its coefficient.
  private var pending: [Double] = []
  private(set) var remainder = 0.0

  init(_ matrix: Tensor) {
    self.matrix = matrix
    pending = Self.unit(random(matrix.width)).vector
  }

  var count: Int { diagonal.count }

  /// B, rows of `count` entries.
  var bidiagonal: [[Double]] {
    (0..<count).map { row in
      var entries = Array(repeating: 0.0, count: count)
      entries[row] = diagonal[row]
      if row + 1 < count { entries[row + 1] = above[row] }
      return entries
    }
  }

  func combined(_ vectors: [[Double]], _ weights: [Double]) -> [Double] {
    var sum = Array(repeating: 0.0, count: vectors[0].count)
    for (vector, weight) in zip(vectors, weights) {
      for index in sum.indices { sum[index] += weight * vector[index] }
    }
    return sum
  }

  /// One more vector on each side.
  mutating func extend() {
    let v = pending
    if !left.isEmpty { above.append(remainder) }
    right.append(v)
    let (u, length) = normalised(times(v), against: left)
    left.append(u)
    diagonal.append(length)
    (pending, remainder) = normalised(transposedTimes(u), against: right)
  }

  /// `vector` without its parts along `others`, of length 1, and its length before that; where nothing is left, a random
  /// direction and 0.
  private mutating func normalised(_ vector: [Double], against others: [[Double]]) -> ([Double], Double) {
    let size = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let (rest, length) = Self.unit(Self.orthogonal(vector, to: others))
    if length > 1e-13 * max(size, diagonal.first ?? 0) { return (rest, length) }
    guard others.count < vector.count else { return (rest.map { _ in 0 }, 0) }
    return (Self.unit(Self.orthogonal(random(vector.count), to: others)).vector, 0)
  }

  private static func orthogonal(_ vector: [Double], to others: [[Double]]) -> [Double] {
    var rest = vector
    for _ in 0..<2 {
      for other in others {
        var projection = 0.0
        for index in rest.indices { projection += rest[index] * other[index] }
        for index in rest.indices { rest[index] -= projection * other[index] }
      }
    }
    return rest
  }

  private static func unit(_ vector: [Double]) -> (vector: [Double], length: Double) {
    let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return (length > 0 ? vector.map { $0 / length } : vector, length)
  }

  private mutating func random(_ count: Int) -> [Double] {
    draws += 1
    let own = CounterGenerator(parent: generator, site: draws)
    return (0..<count).map { 2 * own.uniform(at: UInt64($0)) - 1 }
  }

  private func times(_ vector: [Double]) -> [Double] {
    let (rows, width, values) = (matrix.rows, matrix.width, matrix.pointer)
    return (0..<rows).map { row in
      var sum = SIMD8<Double>.zero
      let whole = width / 8 * 8
      for column in stride(from: 0, to: whole, by: 8) {
        for lane in 0..<8 { sum[lane] += Double(values[row * width + column + lane]) * vector[column + lane] }
      }
      return (whole..<width).reduce(sum.sum()) { $0 + Double(values[row * width + $1]) * vector[$1] }
    }
  }

  private func transposedTimes(_ vector: [Double]) -> [Double] {
    let (width, values) = (matrix.width, matrix.pointer)
    var result = Array(repeating: 0.0, count: width)
    for (row, factor) in vector.enumerated() {
      for column in 0..<width { result[column] += factor * Double(values[row * width + column]) }
    }
    return result
  }
}

/// All singular values of a small square matrix, falling, and their vectors, by one-sided Jacobi rotations (Hestenes 1958).
private struct JacobiSVD {
  private(set) var values: [Double] = []
  /// Left and right vector of each value.
  private(set) var left: [[Double]] = []
  private(set) var right: [[Double]] = []

  /// - Parameter matrix: rows.
  init(_ matrix: [[Double]]) {
    let count = matrix.count
    var columns = (0..<count).map { column in matrix.map { $0[column] } }
    var basis = Array(repeating: Array(repeating: 0.0, count: count), count: count)
    for index in 0..<count { basis[index][index] = 1 }
    for _ in 0..<60 {
      var isDone = true
      for p in 0..<count {
        for q in p + 1..<max(count, p + 1) {
          var (alpha, beta, gamma) = (0.0, 0.0, 0.0)
          for index in 0..<count {
            alpha += columns[p][index] * columns[p][index]
            beta += columns[q][index] * columns[q][index]
            gamma += columns[p][index] * columns[q][index]
          }
          guard abs(gamma) > 1e-15 * (alpha * beta).squareRoot(), gamma != 0 else { continue }
          isDone = false
          let zeta = (beta - alpha) / (2 * gamma)
          let tangent = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
          let cosine = 1 / (1 + tangent * tangent).squareRoot()
          Self.rotate(&columns, p, q, cosine, cosine * tangent)
          Self.rotate(&basis, p, q, cosine, cosine * tangent)
        }
      }
      if isDone { break }
    }
    let lengths = columns.map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    for index in lengths.indices.sorted(by: { lengths[$0] > lengths[$1] }) {
      values.append(lengths[index])
      left.append(lengths[index] > 0 ? columns[index].map { $0 / lengths[index] } : columns[index])
      right.append(basis[index])
    }
  }

  private static func rotate(_ vectors: inout [[Double]], _ p: Int, _ q: Int, _ cosine: Double, _ sine: Double) {
    for index in vectors[p].indices {
      let (x, y) = (vectors[p][index], vectors[q][index])
      vectors[p][index] = cosine * x - sine * y
      vectors[q][index] = sine * x + cosine * y
    }
  }
}
