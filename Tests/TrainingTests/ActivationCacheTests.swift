import Autograd
import Checkpoints
import Dispatch
import Foundation
import Models
import NN
import PEFTMethods
import Synchronization
import TensorCore
import Testing

@testable import Training

@Suite struct ActivationCacheTests {
  // MARK: The plan

  @Test func slotsFollowEachOtherInDataOrder() throws {
    let examples = [(index: 2, rows: 3), (index: 3, rows: 5), (index: 7, rows: 2)]
    for (precision, bytes) in [(StatePrecision.fp32, 4), (.bf16, 2)] {
      let plan = ActivationCachePlan(examples: examples, width: 8, precision: precision)
      #expect(plan.exampleCount == 3 && plan.byteCount == 4096 + 10 * 8 * bytes)
      for (index, number, row, rows) in [(2, 0, 0, 3), (3, 1, 3, 5), (7, 2, 8, 2)] {
        let slot = try #require(plan.slot(of: index))
        #expect(
          slot.number == number && slot.offset == 4096 + row * 8 * bytes && slot.valueCount == 8 * rows, "\(index)")
      }
      for index in [0, 4, 8, 100] { #expect(plan.slot(of: index) == nil) }
    }
  }

  @Test func aLimitCutsThePlanShort() {
    let examples = (0..<2000).map { (index: $0, rows: 4) }
    func count(_ limit: Int) -> Int {
      let plan = ActivationCachePlan(examples: examples, width: 16, precision: .fp32, limit: limit)
      #expect(plan.byteCount <= limit)
      #expect((0..<2000).count { plan.slot(of: $0) != nil } == plan.exampleCount)
      return plan.exampleCount
    }
    #expect(count(.max) == 2000 && count(2000 * 256 + 8192) == 2000)
    #expect(count(2000 * 256 + 8191) < 2000)
    #expect(count(4096 + 256) == 1 && count(4096 + 255) == 0 && count(0) == 0)
    // The plan of its own size is itself: how the other ranks of a node make it.
    for limit in [10_000, 262_144, 400_000] {
      let plan = ActivationCachePlan(examples: examples, width: 16, precision: .fp32, limit: limit)
      let again = ActivationCachePlan(examples: examples, width: 16, precision: .fp32, limit: plan.byteCount)
      #expect(plan.exampleCount == again.exampleCount && plan.byteCount == again.byteCount)
    }
  }

  /// Members of a batch that are not kept follow the kept states, as long as there is room.
  @Test func membersOfAStepHaveRoomBehindTheKept() throws {
    let examples = (0..<6).map { (index: $0, rows: 2) }
    let plan = ActivationCachePlan(
      examples: examples, width: 8, precision: .fp32, limit: 4096 + 2 * 64, step: .init(examples: 3, rows: 6))
    #expect(plan.exampleCount == 2 && plan.keptByteCount == 4096 + 128 && plan.byteCount == 4096 + 128 + 6 * 32)
    let slots = plan.passingSlots([(5, 2), (0, 2), (4, 3), (3, 2), (9, 1), (2, 1)], round: 7)
    #expect(slots.keys.sorted() == [4, 5, 9])
    for (example, number, row, rows) in [(5, 2, 4, 2), (4, 3, 6, 3), (9, 4, 9, 1)] {
      let slot = try #require(slots[example])
      #expect(slot == .init(number: number, offset: 4096 + row * 32, valueCount: rows * 8, round: 7), "\(example)")
      #expect(slot.claimed == 15 && slot.ready == 16)
    }
  }

  @Test(
    arguments: [
      ("off", .off), ("auto", .automatic), ("4GB", .bytes(4_000_000_000)), ("1.5MiB", .bytes(1_572_864)),
      ("60kb", .bytes(60_000)), ("4", nil), ("-1GB", nil), ("GB", nil), ("lots", nil), ("1e30TB", nil), ("nanGB", nil),
      ("", nil),
    ] as [(String, ActivationCacheLimit?)])
  func limitsAreReadOrRefused(text: String, expected: ActivationCacheLimit?) {
    #expect(ActivationCacheLimit(text) == expected)
  }

  // MARK: The memory

  /// Two caches over one file, as two processes of a node have them.
  private func pair(_ plan: ActivationCachePlan, _ body: ([ActivationCache]) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = try SharedMemory.makeFile(in: folder, byteCount: plan.byteCount)
    let caches = try (0..<2).map { _ in
      ActivationCache(
        plan, memory: try SharedMemory(file, byteCount: plan.byteCount), isOnNode: [true, true])
    }
    unlink(file.path)
    try body(caches)
  }

  private static func states(_ example: Int) -> Tensor {
    Tensor((0..<16).map { Float(example * 16 + $0) * 1.0009765625 + 0.1 }, shape: [2, 8])
  }

  @Test func everyStateIsComputedOnceWhoeverWantsIt() throws {
    let plan = ActivationCachePlan(examples: (0..<500).map { ($0, 2) }, width: 8, precision: .fp32)
    try pair(plan) { caches in
      let computed = Atomic<Int>(0)
      let wrong = Atomic<Int>(0)
      DispatchQueue.concurrentPerform(iterations: 8) { thread in
        for step in 0..<1000 {
          let example = (step * 7 + thread * 61) % 500
          let own = Tensor(zeros: [2, 8])
          func compute() -> Tensor {
            computed.add(1, ordering: .relaxed)
            return Self.states(example)
          }
          if step % 3 == 0 { caches[thread % 2].fill(example, compute: compute) }
          let isKept = caches[thread % 2].read(example, into: own, compute: compute)
          if !isKept || own.values != Self.states(example).values { wrong.add(1, ordering: .relaxed) }
        }
      }
      #expect(wrong.load(ordering: .relaxed) == 0 && computed.load(ordering: .relaxed) == 500)
      #expect(caches.reduce(0) { $0 + $1.missCount } == 500)
      #expect(caches.reduce(0) { $0 + $1.hitCount } == 8 * 1000 - 500)
      #expect((0..<500).allSatisfy { !caches[0].lacks($0) })
    }
  }

  @Test func examplesWithoutASlotAreLeftToTheCaller() throws {
    let plan = ActivationCachePlan(examples: [(index: 4, rows: 2)], width: 8, precision: .bf16)
    try pair(plan) { caches in
      let own = Tensor(zeros: [2, 8])
      #expect(
        !caches[0].read(
          3, into: own,
          compute: {
            Issue.record("computed"); return own
          }))
      #expect(!caches[0].lacks(3) && caches[0].lacks(4))
      #expect(caches[0].read(4, into: own, compute: { Self.states(4) }))
      // What was rounded to be kept is what a run without a cache rounds to.
      let rounded = Self.states(4)
      StatePrecision.bf16.round(rounded, in: BufferPool())
      #expect(own.values == rounded.values && own.values != Self.states(4).values)
      #expect(zip(own.values, Self.states(4).values).allSatisfy { abs($0 - $1) <= abs($1) / 256 })
    }
  }

  @Test func aStepOverwritesTheLast() throws {
    let plan = ActivationCachePlan(
      examples: [(index: 0, rows: 2)], width: 8, precision: .fp32, step: .init(examples: 2, rows: 4))
    try pair(plan) { caches in
      let own = Tensor(zeros: [2, 8])
      for step in 0..<5 {
        let batch = [(step + 1, 2), (0, 2), (step + 2, 2), (step + 3, 2)]
        for cache in caches { cache.beginStep(batch) }
        #expect(caches[0].lacks(0) == (step == 0) && caches[1].lacks(step + 1) && !caches[0].lacks(step + 3))
        for (turn, (example, _)) in batch.dropLast().enumerated() {
          caches[turn % 2].fill(example) { Self.states(example) }
          for cache in caches {
            let isKept = cache.read(example, into: own) { Self.states(999) }
            #expect(isKept && own.values == Self.states(example).values)
          }
        }
        let isKept = caches[0].read(step + 3, into: own) { Self.states(999) }
        #expect(!isKept)
      }
    }
  }

  @Test func tooLittleRoomIsAnErrorThatLeavesNothing() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(throws: ActivationCacheError.self) { try SharedMemory.makeFile(in: folder, byteCount: 1 << 60) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    let file = folder.appending(path: "file")
    try Data().write(to: file)
    #expect(throws: ActivationCacheError.self) {
      try SharedMemory.makeFile(in: file.appending(path: "below"), byteCount: 4096)
    }
  }

  @MainActor @Test func theFileHasNoNameOnceItIsMapped() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    func make(_ limit: ActivationCacheLimit) throws -> ActivationCache? {
      try ActivationCache.onEachNode(
        .init(
          examples: (0..<9).map { ($0, 100) }, limit: limit, width: 16, precision: .fp32, folder: folder), world: nil)
    }
    let cache = try #require(try make(.automatic))
    #expect(cache.exampleCount == 9 && cache.byteCount == 4096 + 900 * 64)
    #expect(try make(.bytes(20_000))?.exampleCount == 2)
    #expect(try make(.bytes(100)) == nil && make(.off) == nil)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  // MARK: Leaves

  /// Loss and gradients of leaves with a full cache, a small one, and none, are the same bits.
  @Test(arguments: StatePrecision.allCases, [#"decoder\..*SelfAttention\.(q|v)"#, #"encoder\.block\.1\..*\.wo"#])
  func leavesDoNotKnowOfTheCache(precision: StatePrecision, targets: String) throws {
    let goldens = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Goldens/models/t5_v10", directoryHint: .isDirectory)
    let model = try ModelCatalogue.load(ModelFolder(goldens))
    var options = MethodOptions()
    options.targetModules = ModuleSelection(text: targets)
    let method = try MethodCatalogue.entry(named: "lora").make(options, model, 5)
    let frozen = try #require(FrozenLayers(model, method, precision: precision))
    let sources = (0..<12).map { number in
      (0..<4 + number * 7 % 19).map { Int32(2 + (number * 37 + $0 * 11) % 300) }
    }
    func results(_ cache: ActivationCache?) -> [[[Float]?]] {
      var evaluator = LeafEvaluator(model: model, method: method, frozen: frozen)
      evaluator.frozen?.cache = cache
      let sites = evaluator.sites(pool: BufferPool())
      return [[0, 1, 2, 3], [4, 5, 6], [3, 2, 11], [10, 9, 8, 7, 1]].map { leaf in
        let batch = LeafBatch(
          sources: leaf.map { sources[$0] }, labels: leaf.map { [Int32($0 + 5), 1] }, examples: leaf.map { UInt32($0) })
        let result = evaluator.gradients(
          batch, sites: sites, gradientScale: 0.1, dropout: nil, pool: BufferPool())
        return [[Float(result.lossSum)]] + result.gradients.map { $0?.values }
      }
    }
    let plain = results(nil)
    let examples = sources.enumerated().map { (index: $0, rows: $1.count) }
    for (limit, room) in [(Int.max, 0), (4096 + 40 * 64 * precision.bytesPerValue, 0), (4096 + 10240, 3)] {
      let plan = ActivationCachePlan(
        examples: examples, width: 64, precision: precision, limit: limit, step: .init(examples: room, rows: 19 * room))
      #expect((1..<12).contains(plan.exampleCount) == (limit != .max))
      try pair(plan) { caches in
        for cache in caches {
          cache.beginStep(examples.map { ($0.index, $0.rows) })
          #expect(results(cache) == plain)
        }
        #expect(limit != .max || caches[0].missCount == 12 && caches[1].missCount == 0)
      }
    }
  }
}
