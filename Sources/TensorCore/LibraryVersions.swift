import COpenBLAS

/// The libraries that multiply matrices, as they name themselves.
public enum LibraryVersions {
  /// "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …"; nil while it is not loaded.
  public static var openBLAS: String? { openblas_configuration().map { String(cString: $0) } }

  /// The kernels that OpenBLAS runs, "Haswell" and the like; nil while it is not loaded.
  public static var openBLASCore: String? { openblas_core().map { String(cString: $0) } }
}
