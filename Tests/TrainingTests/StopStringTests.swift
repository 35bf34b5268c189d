import Autograd
import Foundation
import NN
import TensorCore
import Testing
import Tokenization

@testable import Training

/// Stop strings: where an answer ends and where it is cut, in each kind of search.
@Suite struct StopStringTests {
  /// Token 2 is a, 3 is b, and so on; 0 and 1 are special.
  private struct Letters: Tokenizer {
    let vocabularyCount = 28
    let padID: Int32 = 0
    let eosID: Int32 = 1
    let unknownID: Int32 = 0
    let maskID: Int32? = nil
    let specialIDs: Set<Int32> = []
    let identity = "letters"
    let url = URL(filePath: "/letters")

    func tokens(of text: String) -> [Int32] { text.unicodeScalars.map { Int32($0.value) - 95 } }
    func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
      AssembledTokens(ids: first + (second ?? []) + [eosID])
    }
    func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String {
      String(String.UnicodeScalarView(ids.filter { $0 > 1 }.compactMap { Unicode.Scalar(UInt32($0 + 95)) }))
    }
  }

  /// Wants the letters of a text, whatever is fed.
  private final class Dictation: DecodingState {
    private let scores: [[Float]]
    private var position = 0

    init(_ text: String) {
      scores = Letters().tokens(of: text).map { wanted in
        (0..<28).map { $0 == wanted ? 9 : Float($0) / 28 }
      }
    }

    func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
      position += 1
      return Tensor(tokens.flatMap { _ in scores[position - 1] }, shape: [tokens.count, 28])
    }
    func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] { [] }
    func prompt(ofSource index: Int) -> [Int32] { [4] }
  }

  private func options(_ texts: [String], _ change: (inout GenerationOptions) -> Void = { _ in }) -> GenerationOptions {
    var options = GenerationOptions(eosIDs: [1])
    options.maxNewTokens = 6
    options.stops = StopStrings(texts, Letters())
    change(&options)
    return options
  }

  private func answer(_ options: GenerationOptions) -> String {
    let pass = ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false))
    let found = SequenceGenerator(options).generate(Dictation("abcdef"), examples: [0], pass)
    return Letters().decode(found[0][0].answer, skippingSpecialTokens: true)
  }

  private static let searches: [(String, @Sendable (inout GenerationOptions) -> Void)] = [
    ("greedy", { _ in }), ("sampling", { $0.sampling = SamplingOptions(seed: 1) }),
    (
      "beams",
      {
        $0.beamCount = 2
        $0.earlyStopping = .whenFull
        $0.lengthPenalty = 0
      }
    ),
  ]

  /// The answer ends with the token that completes a stop string.
  @Test(arguments: ["greedy", "sampling", "beams"]) func theAnswerEndsThere(search: String) throws {
    let change = try #require(Self.searches.first { $0.0 == search }).1
    func sharp(_ options: inout GenerationOptions) {
      change(&options)
      // From the best token alone.
      options.sampling?.topK = 1
    }
    #expect(answer(options(["cd"], sharp)) == "abcd")
    #expect(answer(options(["xyz", "b"], sharp)) == "ab")
    // The prompt is "c": it takes no part.
    #expect(answer(options(["ca"], sharp)) == "abcdef")
    #expect(answer(options(["never"], sharp)) == "abcdef")
  }

  @Test func theAnswerIsCutBeforeTheFirst() throws {
    let stops = try #require(StopStrings(["cd", "b", "é"], Letters()))
    #expect(stops.cut("abcd") == "a" && stops.cut("acd b") == "a" && stops.cut("xyz") == "xyz")
    #expect(StopStrings([], Letters()) == nil)
    // Characters are compared code point by code point, as Python does.
    #expect(stops.cut("e\u{301}") == "e\u{301}" && stops.cut("née") == "n")
    #expect(try #require(StopStrings(["\n"], Letters())).cut("a\r\nc") == "a\r")
  }
}
