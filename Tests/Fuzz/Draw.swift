/// Random choices of one execution, the same for the same seed and number (SplitMix64).
struct Draw {
  private var state: UInt64
  /// Nothing is to be damaged: does the command work at all?
  let isHarmless: Bool

  init(seed: UInt64, number: Int, isHarmless: Bool = false) {
    self.isHarmless = isHarmless
    state = seed &* 0xD1B5_4A32_D192_ED03 ^ UInt64(number) &* 0x9E37_79B9_7F4A_7C15
    _ = next()
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  /// From 0 up to `count`, which is excluded.
  mutating func below(_ count: Int) -> Int { count <= 1 ? 0 : Int(next() % UInt64(count)) }

  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

  mutating func element<T>(of values: [T]) -> T { values[below(values.count)] }
}
