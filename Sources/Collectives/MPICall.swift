import CMPI

/// The one gate through which every MPI call goes: it turns return codes into errors that name function and
/// rank.
///
/// MPI 3.1 §12.4.3, MPI_THREAD_FUNNELED: "The process may be multi-threaded, but the application must ensure
/// that only the main thread makes MPI calls." The gate is bound to the main actor, so the compiler checks
/// that; and `MPI_ERRORS_RETURN` is set on every communicator, so that codes come back at all.
@MainActor
enum MPICall {
  /// Makes a call.
  /// - Throws: `CollectivesError.mpi` with MPI's text for the code, if the code is not `MPI_SUCCESS`.
  static func check(_ function: String, rank: Int?, _ call: () -> Int32) throws {
    let code = call()
    guard code != MPI_SUCCESS else { return }
    throw CollectivesError.mpi(function: function, text: text(of: code), rank: rank)
  }

  private static func text(of code: Int32) -> String {
    var characters = [CChar](repeating: 0, count: Int(cmpi_max_error_string()) + 1)
    var length: Int32 = 0
    guard MPI_Error_string(code, &characters, &length) == MPI_SUCCESS else { return "error code \(code)" }
    let bytes = characters.prefix(Int(length)).map { UInt8(bitPattern: $0) }
    return "\(String(decoding: bytes, as: UTF8.self)) (code \(code))"
  }
}
