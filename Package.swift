// swift-tools-version:6.1
import PackageDescription

// The layers, from the bottom up; `docs/architecture.md` has the table that a test holds against the imports.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let package = Package(
  name: "peft-dist",
  products: [.executable(name: "peft-dist", targets: ["peft-dist"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Layer 0: C faces and diagnostics.
    .systemLibrary(
      name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev", "openmpi-bin"])]),
    .target(name: "COpenBLAS", linkerSettings: [.linkedLibrary("dl")]),
    .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dl")]),
    .target(
      name: "CSentencePiece",
      linkerSettings: [.linkedLibrary("sentencepiece"), .linkedLibrary("sentencepiece_train")]),
    // Kernels are compiled with optimisation in debug builds too: a debug test must not take minutes. What is fused is said
    // in the code, never chosen by the compiler.
    .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=off"])]),
    .target(
      name: "Diagnostics", dependencies: [.product(name: "Logging", package: "swift-log")],
      swiftSettings: strict),
    // Layer 1
    .target(
      name: "TensorCore", dependencies: ["CKernels", "COpenBLAS", "COneDNN", "Diagnostics"],
      swiftSettings: strict),
    .target(
      name: "Collectives", dependencies: ["CMPI", "CKernels", "Diagnostics"], swiftSettings: strict),
    .target(
      name: "Tokenization", dependencies: ["CSentencePiece", "Diagnostics"], swiftSettings: strict),
    // Layer 2
    .target(
      name: "Autograd", dependencies: ["TensorCore", "CKernels", "Diagnostics"], swiftSettings: strict),
    .target(
      name: "Checkpoints",
      dependencies: [
        "TensorCore", "CKernels", "Diagnostics", .product(name: "Crypto", package: "swift-crypto"),
      ], swiftSettings: strict),
    .target(
      name: "TextGrammar", dependencies: ["TensorCore", "Diagnostics"], swiftSettings: strict),
    // Layer 3
    .target(
      name: "NN", dependencies: ["Autograd", "TensorCore", "Checkpoints", "Diagnostics"],
      swiftSettings: strict),
    .target(name: "Reporting", dependencies: ["Checkpoints", "Diagnostics"], swiftSettings: strict),
    .target(
      name: "Tasks", dependencies: ["TensorCore", "Tokenization", "Checkpoints", "Diagnostics"],
      swiftSettings: strict),
    // Layer 4
    .target(
      name: "Models", dependencies: ["NN", "Autograd", "TensorCore", "Checkpoints", "Diagnostics"],
      swiftSettings: strict),
    .target(
      name: "PEFTMethods",
      dependencies: ["NN", "Autograd", "TensorCore", "Checkpoints", "Diagnostics"],
      swiftSettings: strict),
    .target(
      name: "Training",
      dependencies: [
        "NN", "Autograd", "TensorCore", "Checkpoints", "Tasks", "Tokenization", "Collectives",
        "CKernels", "Diagnostics",
      ], swiftSettings: strict),
    // Layer 5
    .target(
      name: "Conformance",
      dependencies: [
        "Models", "PEFTMethods", "Training", "NN", "Autograd", "TensorCore", "Checkpoints", "Tasks",
        "Tokenization", "Collectives", "CKernels", "Diagnostics",
      ], swiftSettings: strict),
    // Layer 6
    .executableTarget(
      name: "peft-dist",
      dependencies: [
        "Conformance", "Models", "PEFTMethods", "Training", "Reporting", "NN", "Autograd", "TensorCore", "Checkpoints",
        "Tasks", "TextGrammar", "Tokenization", "Collectives", "CKernels", "Diagnostics",
        .product(name: "ArgumentParser", package: "swift-argument-parser"), "Yams",
      ], swiftSettings: strict),
    .executableTarget(
      name: "mpi-selftest", dependencies: ["Collectives", "Diagnostics"], swiftSettings: strict),
    // Tests: one target for each target that has something to test; TestSupport starts programs for them.
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
    .executableTarget(
      name: "fuzz", dependencies: [.product(name: "ArgumentParser", package: "swift-argument-parser")], path: "Tests/Fuzz",
      exclude: ["Corpus"],
      swiftSettings: strict),
    .testTarget(name: "DiagnosticsTests", dependencies: ["Diagnostics"]),
    .testTarget(name: "TensorCoreTests", dependencies: ["TensorCore", "CKernels", "COpenBLAS"]),
    .testTarget(name: "CollectivesTests", dependencies: ["Collectives", "mpi-selftest", "TestSupport"]),
    .testTarget(name: "TokenizationTests", dependencies: ["Tokenization"]),
    .testTarget(name: "AutogradTests", dependencies: ["Autograd", "TensorCore"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "TensorCore"]),
    .testTarget(name: "TasksTests", dependencies: ["Tasks", "Tokenization"]),
    .testTarget(name: "TextGrammarTests", dependencies: ["TextGrammar"]),
    .testTarget(
      name: "ModelsTests",
      dependencies: ["Models", "PEFTMethods", "NN", "Autograd", "TensorCore", "Checkpoints"]),
    .testTarget(
      name: "PEFTMethodsTests",
      dependencies: ["PEFTMethods", "Models", "NN", "Autograd", "TensorCore", "Checkpoints"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Training", "Models", "PEFTMethods", "Tasks", "Tokenization", "NN", "Autograd", "TensorCore", "Checkpoints",
      ]),
    .testTarget(name: "ConformanceTests", dependencies: ["Conformance"]),
    .testTarget(name: "ReportingTests", dependencies: ["Reporting", "Checkpoints"]),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "peft-dist", "Checkpoints", "Models", "PEFTMethods", "Reporting", "TensorCore", "CKernels", "TestSupport",
      ]),
  ],
  cxxLanguageStandard: .cxx17
)
