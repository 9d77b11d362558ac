#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/export.h"
#include "sing/core/result.h"

namespace sing {

/// An errno value.
struct IoError {
  int code = 0;
};
template <class T>
using IoResult = Result<T, IoError>;

enum class FileKind : uint8_t { file, directory, link, other };
struct FileStatus {
  FileKind kind = FileKind::other;
  uint64_t size = 0;
};

/// Whether a link as the last part of a path is followed. Links in the folders before it are: the
/// user chose that path.
enum class Links : uint8_t { refuse, follow };
/// Who may read what is created: only the user (0600, folders 0700), or what the umask leaves of
/// 0644 and 0755.
enum class Access : uint8_t { user, umask };

/// The few system calls through which every file of SING is read and written, one call each: no
/// retry and no clean-up, so that a test can let any single one fail. Functions without a value
/// return 0 or an errno value. Thread-safe.
class SING_API FileSystem {
 public:
  using FileId = int;
  virtual ~FileSystem();

  /// A new file, open for writing. EEXIST when the path exists, also as a link.
  virtual IoResult<FileId> create(const std::string& path, Access access) = 0;
  /// An existing regular file, open for reading; never waits (EINVAL for a pipe or device).
  virtual IoResult<FileId> open(const std::string& path, Links links) = 0;
  /// Writes at the end; may write less than asked.
  virtual IoResult<size_t> write(FileId file, std::span<const std::byte> bytes) = 0;
  /// Reads on; may read less than asked, 0 at the end.
  virtual IoResult<size_t> read(FileId file, std::span<std::byte> bytes) = 0;
  /// The same from a place counted from the start; where read() goes on does not change.
  virtual IoResult<size_t> read_at(FileId file, uint64_t place, std::span<std::byte> bytes) = 0;
  virtual IoResult<uint64_t> size(FileId file) = 0;
  virtual int fsync(FileId file) = 0;
  /// Also ends a lock.
  virtual void close(FileId file) = 0;

  virtual int mkdir(const std::string& path, Access access) = 0;
  virtual int symlink(const std::string& target, const std::string& path) = 0;
  virtual IoResult<std::string> readlink(const std::string& path) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int fsync_dir(const std::string& path) = 0;
  virtual int unlink(const std::string& path) = 0;
  virtual int rmdir(const std::string& path) = 0;
  /// Names in a folder, sorted, without "." and "..".
  virtual IoResult<std::vector<std::string>> list(const std::string& path) = 0;
  /// Of the path itself: links are not followed.
  virtual IoResult<FileStatus> stat(const std::string& path) = 0;
  /// Opens or makes the file (0600, no link), and locks it against every other process without
  /// waiting: EWOULDBLOCK when another holds it, ENOLCK where the file system has no locks.
  virtual IoResult<FileId> lock(const std::string& path) = 0;
  virtual int truncate(FileId file) = 0;
  virtual IoResult<uint64_t> free_bytes(const std::string& path) = 0;
};

/// The machine's files (POSIX calls).
SING_API FileSystem& posix_file_system();

/// "No space left on device".
SING_API std::string error_text(int code);

// ---- paths -------------------------------------------------------------------------------------

/// "a/b" for ("a", "b").
SING_API std::string join_path(std::string_view folder, std::string_view name);
/// The folder of a path ("." when it names none) and its last part.
SING_API std::string folder_of(std::string_view path);
SING_API std::string name_of_path(std::string_view path);
/// A name that stays in its folder: printable UTF-8 of at most 255 bytes, no '/', not "." or "..".
SING_API bool is_plain_name(std::string_view name);
/// A relative path of plain names, for paths that come out of a file.
SING_API bool is_plain_relative_path(std::string_view path);

// ---- reading -----------------------------------------------------------------------------------

/// Bytes of a whole file; not set to zero first.
class SING_API ByteBuffer {
 public:
  ByteBuffer() = default;
  explicit ByteBuffer(size_t size);
  std::span<std::byte> span() { return {data_.get(), size_}; }
  std::span<const std::byte> span() const { return {data_.get(), size_}; }
  std::string_view text() const;
  size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

/// A regular file of at most `limit` bytes. Memory is taken once, of the file's size. The fault
/// says what was wrong, without the path.
SING_API Result<ByteBuffer> try_read_file(FileSystem& files, const std::string& path,
                                          uint64_t limit, Links links = Links::follow);
/// The same; throws DataError E0301 (cannot be read) or E0302 (over the limit) with the path.
SING_API ByteBuffer read_file(FileSystem& files, const std::string& path, uint64_t limit,
                              Links links = Links::follow);
/// A file named by outside text (an index, an archive): `relative` must be a plain relative path,
/// and no part of it may be a link. Throws DataError E0303 otherwise.
SING_API ByteBuffer read_file_beneath(FileSystem& files, const std::string& root,
                                      const std::string& relative, uint64_t limit);

}  // namespace sing
