#pragma once
#include <string>

#include "sing/core/export.h"
#include "sing/core/file_system.h"

namespace sing::train {

enum class LockMode { flock, none };

/// Keeps a run folder for this process: an flock on `run.lock`, in which the holder writes who it
/// is. The system ends the lock when the process ends, however it ends.
class SING_API RunLock {
 public:
  /// Throws BusyError E0701 that names the holder, or E0702 where the file system has no locks
  /// (`LockMode::none` then lets the user take the risk). Changes nothing when it throws.
  static RunLock acquire(const std::string& run_folder, LockMode mode = LockMode::flock,
                         FileSystem& files = posix_file_system());
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&& other) noexcept;

 private:
  RunLock(FileSystem& files, int file) : files_(&files), file_(file) {}
  FileSystem* files_;
  int file_;  // -1: none held
};

}  // namespace sing::train
