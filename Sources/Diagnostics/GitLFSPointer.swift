/// The few lines of text that stand for a large file in a git repository whose large files were not fetched.
///
/// Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
public enum GitLFSPointer {
  private static let beginning = Array("version https://git-lfs.github.com/spec/".utf8)

  /// Whether a file that begins with `bytes` is one.
  public static func isPointer(_ bytes: some Sequence<UInt8>) -> Bool { bytes.starts(with: beginning) }

  /// What to tell about such a file.
  public static let reason =
    "it is a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull', or download it"
}
