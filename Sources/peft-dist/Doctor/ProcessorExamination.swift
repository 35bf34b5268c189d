import Autograd
import CKernels
import Checkpoints
import Collectives
import Diagnostics
import NN
import TensorCore

/// CPU, kernels, libraries and precisions.
enum ProcessorExamination {
  static func examineProcessor(_ report: inout MachineReport) {
    let processor = ProcessorFeatures.read()
    report.add(
      "cpu",
      "\(processor.model); \(processor.features.isEmpty ? "no AVX2" : processor.features.joined(separator: " "))",
      ["model": .string(processor.model), "features": .array(processor.features.map(JSON.string))])
    let (selected, best) = (name(kernels_selected()), name(kernels_best()))
    let sets = [KERNEL_SET_SCALAR, KERNEL_SET_AVX2, KERNEL_SET_AVX512, KERNEL_SET_AVX512_BF16]
      .filter { kernels_table($0) != nil }.map(name)
    report.add(
      "kernels", "\(selected)\(selected == best ? ", the best" : "") of \(sets.joined(separator: ", "))",
      ["selected": .string(selected), "best": .string(best), "available": .array(sets.map(JSON.string))])
    if selected != best {
      report.problem(
        "this CPU could run the \(best) kernels",
        fix:
          "unset PEFT_DIST_KERNELS: the results are the same, faster")
    }
  }

  private static func name(_ set: kernel_set) -> String { String(cString: kernels_name(set)) }

  @MainActor
  static func examineLibraries(_ report: inout MachineReport) {
    func add(_ name: String, _ version: String?, _ file: String, _ more: [String: JSON] = [:]) {
      let path = LoadedLibraries.file(named: file)
      let members: [String: JSON] = ["version": JSON(version), "file": JSON(path)]
      report.add(
        name, version.map { "\($0)\(path.map { " (\($0))" } ?? "")" } ?? path ?? "not found",
        .object(members.merging(more) { $1 }))
    }
    // Only --products openblas needs it, and loads it; here it is asked what it is.
    try? MatrixBackend.openBLAS().load()
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …": name and version are what matters.
    let openBLAS = LibraryVersions.openBLAS.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
    let core = LibraryVersions.openBLASCore
    add("openblas", openBLAS.map { "\($0), kernels \(core ?? "unknown")" }, "libopenblas", ["core": JSON(core)])
    add("onednn", MatrixBackend.oneDNNVersion, "libdnnl")
    add("sentencepiece", nil, "libsentencepiece.so")
    add("mpi", MPILibrary.version, "libmpi.so")
  }

  /// Which precisions the CPU computes in, and which are widened to fp32 for every product and only save memory.
  static func examinePrecisions(_ report: inout MachineReport) {
    let forms = Precision.allCases.map { ($0.rawValue, $0.isNative ? "native" : "emulated") }
    report.add(
      "precisions",
      forms.map { "\($0) \($1)" }.joined(separator: ", ") + " (emulated: stored in 16 bits, computed in fp32)",
      .object(Dictionary(forms.map { ($0, .string($1)) }, uniquingKeysWith: { $1 })))
  }
}
