#include "sing/train/run_lock.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "sing/core/byte_reader.h"
#include "sing/core/error.h"
#include "sing/core/utf8.h"

namespace sing::train {
namespace {

std::string lock_path(const std::string& run_folder) {
  return join_path(run_folder, "run.lock");
}

std::string self() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  std::array<char, 32> when{};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::strftime(when.data(), when.size(), "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&now, &utc));
  return "process " + std::to_string(::getpid()) + " on " + host.data() + " since " + when.data();
}

std::string holder_of(FileSystem& files, const std::string& path) {
  const auto text = try_read_file(files, path, 4096, Links::refuse);
  if (!text.ok() || text.value().size() == 0) return "another process";
  const std::string_view line = text.value().text();
  return printable(line.substr(0, line.find('\n')), 400);
}

}  // namespace

RunLock RunLock::acquire(const std::string& run_folder, LockMode mode, FileSystem& files) {
  if (mode == LockMode::none) return RunLock(files, -1);
  const std::string path = lock_path(run_folder);
  auto file = files.lock(path);
  while (!file.ok() && file.error().code == EINTR) file = files.lock(path);
  if (!file.ok()) {
    const int code = file.error().code;
    if (code == EWOULDBLOCK)
      throw BusyError("the run folder is in use by " + holder_of(files, path), run_folder,
                      "wait for it, stop it, or choose another folder with --output-dir or --name",
                      "E0701");
    if (code == ENOLCK)
      throw BusyError("the file system has no locks, so nothing keeps two runs apart", run_folder,
                      "make sure that no other run uses this folder, then add --lock none",
                      "E0702");
    throw CheckpointError("cannot write " + path + ": " + error_text(code), path, {}, "E0401");
  }
  // Who we are is a courtesy to the next process: failing to write it is no failure to lock.
  const std::string text = self() + "\n";
  if (files.truncate(file.value()) == 0) (void)files.write(file.value(), bytes_of(text)).ok();
  return RunLock(files, file.value());
}

RunLock::~RunLock() {
  if (file_ >= 0) files_->close(file_);
}

RunLock::RunLock(RunLock&& other) noexcept
    : files_(other.files_), file_(std::exchange(other.file_, -1)) {}

RunLock& RunLock::operator=(RunLock&& other) noexcept {
  std::swap(files_, other.files_);
  std::swap(file_, other.file_);
  return *this;
}

}  // namespace sing::train
