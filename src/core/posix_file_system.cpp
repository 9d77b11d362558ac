#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "sing/core/file_system.h"

namespace sing {
namespace {

mode_t file_mode(Access access) {
  return access == Access::user ? 0600 : 0644;
}

class PosixFileSystem final : public FileSystem {
 public:
  IoResult<FileId> create(const std::string& path, Access access) override {
    // O_EXCL: no link is followed and no file of another process is opened.
    return descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                             file_mode(access)));
  }

  IoResult<FileId> open(const std::string& path, Links links) override {
    // O_NONBLOCK: opening a pipe that nobody writes to must not wait.
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (links == Links::refuse ? O_NOFOLLOW : 0);
    const int file = ::open(path.c_str(), flags);
    if (file < 0) return IoError{errno};
    struct stat status {};
    const int code = ::fstat(file, &status) != 0 ? errno
                     : S_ISDIR(status.st_mode)   ? EISDIR
                     : !S_ISREG(status.st_mode)  ? EINVAL
                                                 : 0;
    if (code == 0) return file;
    ::close(file);
    return IoError{code};
  }

  IoResult<size_t> write(FileId file, std::span<const std::byte> bytes) override {
    return count(::write(file, bytes.data(), std::min(bytes.size(), size_t{1} << 30)));
  }
  IoResult<size_t> read(FileId file, std::span<std::byte> bytes) override {
    return count(::read(file, bytes.data(), std::min(bytes.size(), size_t{1} << 30)));
  }
  IoResult<size_t> read_at(FileId file, uint64_t place, std::span<std::byte> bytes) override {
    return count(::pread(file, bytes.data(), std::min(bytes.size(), size_t{1} << 30),
                         static_cast<off_t>(place)));
  }
  IoResult<uint64_t> size(FileId file) override {
    struct stat status {};
    if (::fstat(file, &status) != 0) return IoError{errno};
    return static_cast<uint64_t>(status.st_size);
  }
  int fsync(FileId file) override { return code(::fsync(file)); }
  void close(FileId file) override { ::close(file); }
  int truncate(FileId file) override { return code(::ftruncate(file, 0)); }

  int mkdir(const std::string& path, Access access) override {
    return code(::mkdir(path.c_str(), access == Access::user ? 0700 : 0755));
  }
  int symlink(const std::string& target, const std::string& path) override {
    return code(::symlink(target.c_str(), path.c_str()));
  }
  IoResult<std::string> readlink(const std::string& path) override {
    std::array<char, PATH_MAX> target;
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    if (length < 0) return IoError{errno};
    return std::string(target.data(), static_cast<size_t>(length));
  }
  int rename(const std::string& from, const std::string& to) override {
    return code(::rename(from.c_str(), to.c_str()));
  }
  int fsync_dir(const std::string& path) override {
    const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return errno;
    const int result = code(::fsync(folder));
    ::close(folder);
    return result;
  }
  int unlink(const std::string& path) override { return code(::unlink(path.c_str())); }
  int rmdir(const std::string& path) override { return code(::rmdir(path.c_str())); }

  IoResult<std::vector<std::string>> list(const std::string& path) override {
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr) return IoError{errno};
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(folder)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int failed = errno;
    ::closedir(folder);
    if (failed != 0) return IoError{failed};
    std::sort(names.begin(), names.end());
    return names;
  }

  IoResult<FileStatus> stat(const std::string& path) override {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return IoError{errno};
    const FileKind kind = S_ISREG(status.st_mode)   ? FileKind::file
                          : S_ISDIR(status.st_mode) ? FileKind::directory
                          : S_ISLNK(status.st_mode) ? FileKind::link
                                                    : FileKind::other;
    return FileStatus{kind, static_cast<uint64_t>(status.st_size)};
  }

  IoResult<FileId> lock(const std::string& path) override {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return IoError{errno};
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) return file;
    const int failed = errno;
    ::close(file);
    // Where flock is missing, systems say so in several ways.
    const bool none = failed == ENOLCK || failed == ENOSYS || failed == EOPNOTSUPP;
    return IoError{none ? ENOLCK : failed};
  }

  IoResult<uint64_t> free_bytes(const std::string& path) override {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) return IoError{errno};
    return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  }

 private:
  static int code(int result) { return result == 0 ? 0 : errno; }
  static IoResult<FileId> descriptor(int file) {
    if (file < 0) return IoError{errno};
    return file;
  }
  static IoResult<size_t> count(ssize_t moved) {
    if (moved < 0) return IoError{errno};
    return static_cast<size_t>(moved);
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

}  // namespace sing
