import TestSupport
import Testing

extension MPIRun {
  /// The error messages of the program: what it says last before it ends, whatever mpirun adds.
  var errorMessages: [String] {
    let starts = ["peft-dist: error: ", "Error on rank ", "Error: "]
    var messages: [String] = []
    var isInside = false
    for line in errors.split(separator: "\n", omittingEmptySubsequences: false) {
      if starts.contains(where: line.hasPrefix) {
        messages.append(String(line))
        isInside = true
      } else if line.hasPrefix("---") || line.hasPrefix("[") || line.hasPrefix("peft-dist: ") {
        isInside = false
      } else if isInside {
        messages[messages.count - 1] += "\n\(line)"
      }
    }
    return messages
  }

  /// Records an issue unless the program said one error, with each of `parts` in it.
  func expectOneError(containing parts: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    let messages = errorMessages
    #expect(messages.count == 1, "\(errors)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(
        messages.first?.contains(part) == true, "no '\(part)' in: \(errors)", sourceLocation: sourceLocation)
    }
  }
}
