import CKernels
import COneDNN
import COpenBLAS
import Diagnostics
import Synchronization

/// What multiplies matrices: the project's own products, or a library's.
///
/// The choice is made once per process, before the first product; ranks of one job make the same, because two libraries
/// give two different sums. Libraries run single-threaded: a leaf worker is one thread.
public enum MatrixBackend: Sendable, Equatable {
  /// The kernels of this project: the same bits on every CPU (`Sources/CKernels/bodies/product.h`).
  case canonical
  /// OpenBLAS with the kernels of `coreType` (`OPENBLAS_CORETYPE`), nil for the library's own choice.
  case openBLAS(coreType: String?)
  case oneDNN

  /// OpenBLAS with the widest kernels this CPU runs. Left alone, OpenBLAS 0.3.21 takes Haswell kernels, half as fast,
  /// on AVX-512 CPUs it does not know. With the scalar kernels go those that run on any x86-64 CPU.
  public static func openBLAS(for set: kernel_set = kernels_selected()) -> MatrixBackend {
    switch set {
    case KERNEL_SET_AVX512, KERNEL_SET_AVX512_BF16: .openBLAS(coreType: "SkylakeX")
    case KERNEL_SET_AVX2: .openBLAS(coreType: "Haswell")
    default: .openBLAS(coreType: "Prescott")
    }
  }

  private enum State {
    case open
    case chosen(MatrixBackend)
  }
  private static let state = Mutex(State.open)

  /// Loads this backend and makes it the one in use; a later call with another one is an error, as sums would change in
  /// mid-run.
  public func activate() throws {
    try Self.state.withLock { state in
      if case .chosen(let other) = state {
        guard other == self else {
          throw MatrixBackendError.alreadyChosen(chosen: "\(other)", wanted: "\(self)")
        }
        return
      }
      try load()
      state = .chosen(self)
    }
  }

  /// Makes the library ready for `multiply(…, backend:)`, as a yardstick beside the backend in use.
  public func load() throws {
    if case .openBLAS = self, openblas_has_room() == 0 {
      throw MemoryShortage(bytes: Int(OPENBLAS_BUFFER_BYTES), for: "OpenBLAS")
    }
    var message = [CChar](repeating: 0, count: 512)
    let capacity = Int32(message.count)
    let status =
      switch self {
      case .canonical: Int32(0)
      case .openBLAS(let coreType): openblas_load(coreType, &message, capacity)
      case .oneDNN: onednn_load(&message, capacity)
      }
    guard status == 0 else {
      let reason = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw MatrixBackendError.cannotLoad(self, reason: reason)
    }
  }

  /// The backend in use; `canonical` if none was activated.
  public static let active: MatrixBackend = state.withLock { state in
    if case .chosen(let backend) = state { return backend }
    state = .chosen(.canonical)
    return .canonical
  }

  /// Library and kernels, as they enter a run's numeric identity.
  public static var identity: String {
    switch active {
    case .canonical: "canonical"
    case .openBLAS:
      "openblas/" + (openblas_core().map { String(cString: $0) } ?? "not loaded")
    case .oneDNN: "onednn/\(oneDNNVersion ?? "not loaded")"
    }
  }

  /// "2.6.3" and the like; nil where oneDNN cannot be loaded.
  public static var oneDNNVersion: String? { onednn_version().map { String(cString: $0) } }

  /// To be called on each thread before it computes: products by this thread alone, rounding as in every other one.
  public static func prepareThread() {
    onednn_use_one_thread()
    set_rounding(UInt32(ROUNDING_USUAL))
  }
}

public enum MatrixBackendError: DescribedError {
  case cannotLoad(MatrixBackend, reason: String)
  case alreadyChosen(chosen: String, wanted: String)

  public var description: String {
    switch self {
    case .cannotLoad(.openBLAS, let reason) where reason.contains("failed to map"):
      "cannot load OpenBLAS: not enough memory for it; raise the limit on address space (ulimit -v unlimited) (\(reason))"
    case .cannotLoad(.openBLAS, let reason):
      "cannot load OpenBLAS, which --products openblas asks for: \(reason); install it (Debian: apt-get install "
        + "libopenblas-dev), or leave --products at its default"
    case .cannotLoad(.oneDNN, let reason):
      "cannot load oneDNN, which --products onednn asks for: \(reason); install it (Debian: apt-get install "
        + "libdnnl-dev), or leave --products at its default"
    case .cannotLoad(.canonical, let reason): "cannot multiply: \(reason)"
    case .alreadyChosen(let chosen, let wanted):
      "matrix products already run on \(chosen); \(wanted) has to be chosen before the first one"
    }
  }
}

/// A matrix in memory: first element and distance between rows, in elements.
public struct Matrix {
  /// Keeps a tensor that exists for this argument only alive through the product.
  private let owner: Storage?
  public let pointer: UnsafeMutablePointer<Float>
  public let stride: Int
  public let transposed: Bool

  public init(_ pointer: UnsafeMutablePointer<Float>, stride: Int, transposed: Bool = false) {
    self.init(pointer, stride: stride, transposed: transposed, owner: nil)
  }

  private init(_ pointer: UnsafeMutablePointer<Float>, stride: Int, transposed: Bool, owner: Storage?) {
    self.owner = owner
    self.pointer = pointer
    self.stride = stride
    self.transposed = transposed
  }

  /// A tensor as `[rows, width]`.
  public init(_ tensor: Tensor, transposed: Bool = false) {
    self.init(tensor.pointer, stride: tensor.width, transposed: transposed, owner: tensor.storage)
  }
}

/// `c[m, n] = alpha * op(a)[m, k] * op(b)[k, n] (+ c)`.
///
/// Each entry is one expression of its row and its column: neither the other sizes nor thread, alignment and CPU reach its
/// bits. With a library in place of the project's own products that holds for calls of the same sizes on one kind of CPU.
/// - Parameters:
///   - operands: fp32, or rounded to bfloat16, which no library does.
///   - backend: the one in use, or another one that is loaded.
public func multiply(
  _ a: Matrix, _ b: Matrix, into c: Matrix, m: Int, n: Int, k: Int, alpha: Float = 1, adds: Bool = false,
  operands: operand_kind = OPERAND_FP32, backend: MatrixBackend = .active
) {
  guard m > 0, n > 0 else { return }
  if backend == .canonical || operands == OPERAND_BF16 {
    k_product(
      operands, a.pointer, a.transposed ? 1 : a.stride, a.transposed ? a.stride : 1, b.pointer,
      b.transposed ? 1 : b.stride, b.transposed ? b.stride : 1, c.pointer, c.stride, m, n, k, alpha, adds ? 1 : 0)
    return
  }
  let (m, n, k) = (Int32(m), Int32(n), Int32(k))
  let (lda, ldb, ldc) = (Int32(a.stride), Int32(b.stride), Int32(c.stride))
  let beta: Float = adds ? 1 : 0
  if backend == .oneDNN {
    let status = onednn_sgemm(
      a.transposed ? 1 : 0, b.transposed ? 1 : 0, m, n, k, alpha, a.pointer, lda, b.pointer, ldb, beta, c.pointer,
      ldc)
    precondition(status == 0, "oneDNN refused a [\(m), \(k)] x [\(k), \(n)] product: status \(status)")
  } else {
    let status = openblas_sgemm(
      a.transposed ? 1 : 0, b.transposed ? 1 : 0, m, n, k, alpha, a.pointer, lda, b.pointer, ldb, beta, c.pointer,
      ldc)
    if status != 0 {
      MemoryShortage(bytes: Int(OPENBLAS_BUFFER_BYTES), for: "a thread's products in OpenBLAS").endProcess()
    }
  }
}
