#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sing/core/export.h"
#include "sing/core/file_system.h"
#include "sing/core/function_ref.h"
#include "sing/core/sha256.h"

namespace sing {

// The one way in which SING writes files: whole and durable, or not at all. All of it throws
// CheckpointError E0401 "cannot write ..." with the path and the system's reason, and leaves
// nothing but the old state behind. (Metrics and logs, which only grow, are appended elsewhere.)

/// A new file being written in pieces, with its length and SHA-256. Retries interrupted and short
/// writes. A failed fsync fails the file for good: what the system had not written is lost, and a
/// second fsync would say it was fine.
class SING_API FileWriter {
 public:
  FileWriter(FileSystem& files, std::string path, Access access);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  /// fsync and close. Without it the destructor closes the file as it is.
  void finish();
  uint64_t size() const { return size_; }
  std::string sha256() const { return sha_.hex(); }

 private:
  [[noreturn]] void fail(int code);
  FileSystem& files_;
  std::string path_;
  int file_ = -1;
  uint64_t size_ = 0;
  Sha256 sha_;
};

/// Writes `path` whole: a new file beside it, fsync, rename over it, fsync of the folder. A reader
/// sees the old or the new file, also after a crash.
SING_API void write_file_atomically(FileSystem& files, const std::string& path,
                                    std::span<const std::byte> bytes,
                                    Access access = Access::umask);
SING_API void write_file_atomically(const std::string& path, std::string_view text);
/// The same in pieces: `produce` writes all of it (and does not finish the writer).
SING_API void produce_file_atomically(FileSystem& files, const std::string& path,
                                      FunctionRef<void(FileWriter& writer)> produce,
                                      Access access = Access::umask);

/// Makes `path` a link to `target`, replacing a link that is there, in the same way.
SING_API void write_link_atomically(FileSystem& files, const std::string& path,
                                    const std::string& target);

/// A folder that appears whole under its name or not at all. One thread.
class SING_API AtomicDirectory {
 public:
  /// Starts a hidden folder beside `path`.
  AtomicDirectory(FileSystem& files, std::string path, Access access = Access::user);
  /// Removes everything again unless committed.
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  /// Path for a FileWriter of a file in the hidden folder. `name` is a plain name.
  std::string path_of(const std::string& name) const;
  /// Durable under its name when this returns. A folder that has the name already is moved aside
  /// (see recover_folder) and removed after the new one is durable.
  void commit();

 private:
  FileSystem& files_;
  std::string path_, temporary_;
  bool committed_ = false;
};

/// Ends what a crash interrupted in `folder`: gives a folder that was moved aside its name back if
/// its successor never arrived, and removes hidden leftovers. Call it with the run's lock held.
SING_API void recover_folder(FileSystem& files, const std::string& folder);

/// Makes a folder and those above it; existing ones are fine.
SING_API void make_directories(FileSystem& files, const std::string& path,
                               Access access = Access::umask);
/// Removes a file, link or folder with all in it (at most 64 levels; links are removed, never
/// followed). What is not there is fine. Returns 0 or the first errno value.
SING_API int remove_tree(FileSystem& files, const std::string& path);
/// The same for a folder under a name that others look at: it gets a hidden name first, so that
/// nobody sees half of it. Throws CheckpointError E0401 when it cannot be renamed; what then cannot
/// be removed is left for recover_folder.
SING_API void remove_folder_atomically(FileSystem& files, const std::string& path);

}  // namespace sing
