import CKernels
import Collectives
import Diagnostics
import Foundation
import TensorCore

/// Chooses kernels, matrix library and bfloat16 products for the whole job: the best that every rank's CPU runs. Before any
/// arithmetic.
///
/// `PEFT_DIST_KERNELS` limits the set, `PEFT_DIST_GEMM` names the library.
/// - Throws: `KernelError`, `MatrixBackendError`.
@MainActor
public func agreeOnKernels(over world: World?) throws {
  let environment = ProcessInfo.processInfo.environment
  let own = try KernelError.checkedSet(named: environment["PEFT_DIST_KERNELS"])
  func least(_ value: Int) throws -> Int {
    try world.map { Int(try $0.reduce(Int64(value), .minimum)) } ?? value
  }
  let set = kernel_set(rawValue: UInt32(try least(Int(own.rawValue))))
  precondition(kernels_select(set) == 0, "a kernel set every rank has can be selected")
  switch environment["PEFT_DIST_GEMM"] {
  case nil, "openblas": try MatrixBackend.preferred().activate()
  case "onednn": try MatrixBackend.oneDNN.activate()
  case let name?: throw KernelError.unknownLibrary(name)
  }
  let products: BFloat16Products = try least(BFloat16Products.available == .native ? 1 : 0) == 1 ? .native : .widened
  products.use()
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
        + "since Zen). PEFT_DIST_KERNELS=scalar runs without them, for tests: very slowly, and with other results"
    case .unknownSet(let name):
      "PEFT_DIST_KERNELS is '\(name)'; expected scalar, avx2, avx512 or avx512-bf16"
    case .notOnThisCPU(let name):
      "PEFT_DIST_KERNELS is '\(name)', which this CPU does not run; its best is \(String(cString: kernels_name(kernels_best())))"
    case .unknownLibrary(let name):
      "PEFT_DIST_GEMM is '\(name)'; expected openblas (the default) or onednn"
    }
  }
}
