import CKernels
import Diagnostics
import Foundation
import TensorCore

/// What multiplies matrices, by the name that `--products` takes.
public enum Products: String, CaseIterable, Sendable {
  /// The project's own: the same bits on every CPU.
  case canonical
  case openblas, onednn
}

/// Makes this process compute with `products`, or with those that `PEFT_DIST_GEMM` names, or with the project's own; with
/// the kernels that `PEFT_DIST_KERNELS` names, or the best that its CPU runs. Before any arithmetic.
///
/// Ranks need no agreement about kernels: every set gives the same bits.
/// - Throws: `KernelError`, `MatrixBackendError`.
public func chooseKernels(_ products: Products? = nil) throws {
  let environment = ProcessInfo.processInfo.environment
  let set = try KernelError.checkedSet(named: environment["PEFT_DIST_KERNELS"])
  precondition(kernels_select(set) == 0, "a kernel set this CPU has can be selected")
  var chosen = products
  if chosen == nil, let name = environment["PEFT_DIST_GEMM"] {
    guard let named = Products(rawValue: name) else { throw KernelError.unknownLibrary(name) }
    chosen = named
  }
  switch chosen ?? .canonical {
  case .canonical: try MatrixBackend.canonical.activate()
  case .openblas: try MatrixBackend.openBLAS().activate()
  case .onednn: try MatrixBackend.oneDNN.activate()
  }
}

/// What can be wrong with the choice of kernels.
public enum KernelError: DescribedError {
  case missingFeatures(String)
  case unknownSet(String)
  case notOnThisCPU(String)
  case unknownLibrary(String)

  /// The set this process should run: `name`, or the best.
  ///
  /// - Throws: `KernelError` for a CPU without a set worth running, and for a name that is none or too much for it.
  static func checkedSet(named name: String?) throws(KernelError) -> kernel_set {
    guard let name else {
      guard kernels_best() != KERNEL_SET_SCALAR else { throw .missingFeatures(String(cString: kernels_missing())) }
      return kernels_best()
    }
    var set = KERNEL_SET_SCALAR
    guard kernels_named(name, &set) == 0 else { throw .unknownSet(name) }
    guard set.rawValue <= kernels_best().rawValue else { throw .notOnThisCPU(name) }
    return set
  }

  public var description: String {
    switch self {
    case .missingFeatures(let names):
      "this CPU has no \(names): peft-dist needs an x86-64 CPU with AVX2, FMA and F16C (x86-64-v3: Intel since Haswell, AMD "
        + "since Zen). PEFT_DIST_KERNELS=scalar runs without them, for tests: the same results, very slowly"
    case .unknownSet(let name):
      "PEFT_DIST_KERNELS is '\(name)'; expected scalar, avx2, avx512 or avx512-bf16"
    case .notOnThisCPU(let name):
      "PEFT_DIST_KERNELS is '\(name)', which this CPU does not run; its best is \(String(cString: kernels_name(kernels_best())))"
    case .unknownLibrary(let name):
      "PEFT_DIST_GEMM is '\(name)'; expected canonical (the default), openblas or onednn"
    }
  }
}
