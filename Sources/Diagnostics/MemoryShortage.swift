import Foundation

/// The system gives no more memory: how much was asked for, for what, and which limit is known to stand in the way.
///
/// Met deep inside a computation, where there is nothing left to unwind to: `endProcess` says the sentence and ends the
/// process. What was saved before stays as it is.
public struct MemoryShortage: DescribedError, Equatable {
  public let bytes: Int
  /// What the memory was for, as "activations and gradients".
  public let purpose: String
  /// Bytes of address space and of the control group's memory; nil without a limit.
  public let addressSpace: Int?
  public let group: Int?

  /// A shortage met by this process, under the limits it has now.
  public init(bytes: Int, for purpose: String) {
    self.init(
      bytes: bytes, for: purpose, addressSpace: ResourceLimits.read().addressSpace,
      group: ControlGroup.ofThisProcess.memoryLimit)
  }

  init(bytes: Int, for purpose: String, addressSpace: Int?, group: Int?) {
    (self.bytes, self.purpose, self.addressSpace, self.group) = (bytes, purpose, addressSpace, group)
  }

  public var description: String {
    var text = "not enough memory: \(ReadableNumbers.bytes(bytes)) for \(purpose) could not be had"
    if let addressSpace {
      text +=
        "; ulimit -v allows \(ReadableNumbers.bytes(addressSpace)) of address space in all. Raise it (ulimit -v unlimited)"
      return text
    }
    if let group { text += "; the control group allows \(ReadableNumbers.bytes(group))" }
    return text + ". Use fewer ranks or threads, --precision fp16 or bf16, or a smaller --leaf-tokens"
  }

  /// Says why and ends the process with exit code 1. Under mpirun that ends the job.
  public func endProcess() -> Never {
    RunLog.error("\(self)")
    _exit(1)
  }
}
