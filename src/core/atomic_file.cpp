#include "sing/core/atomic_file.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "sing/core/byte_reader.h"
#include "sing/core/error.h"

namespace sing {
namespace {

// Hidden names: ".new-<n>-<pid>-<name>" is unfinished, ".old-<name>" was moved aside.
constexpr std::string_view kNew = ".new-", kOld = ".old-";

[[noreturn]] void throw_write_error(const std::string& path, int code) {
  const char* hint = code == ENOSPC || code == EDQUOT
                         ? "free some space, or choose another place with --output-dir"
                     : code == EACCES || code == EROFS || code == EPERM
                         ? "choose a place you may write to with --output-dir"
                         : "";
  throw CheckpointError("cannot write " + path + ": " + error_text(code), path, hint, "E0401");
}

// Calls `make(path)` with names beside `target` until one is free.
template <class F>
std::string beside(const std::string& target, F&& make) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0;; ++attempt) {
    std::string path =
        join_path(folder_of(target), std::string(kNew) + std::to_string(counter++) + "-" +
                                         std::to_string(::getpid()) + "-" + name_of_path(target));
    const int code = make(path);
    if (code == 0) return path;
    const bool again = code == EEXIST || code == ENOTEMPTY || code == EINTR;
    if (!again || attempt == 1000) throw_write_error(target, code);
  }
}

void sync_folder_of(FileSystem& files, const std::string& path) {
  if (const int code = files.fsync_dir(folder_of(path)); code != 0) throw_write_error(path, code);
}

}  // namespace

FileWriter::FileWriter(FileSystem& files, std::string path, Access access)
    : files_(files), path_(std::move(path)) {
  auto file = files_.create(path_, access);
  while (!file.ok() && file.error().code == EINTR) file = files_.create(path_, access);
  if (!file.ok()) fail(file.error().code);
  file_ = file.value();
}

FileWriter::~FileWriter() {
  if (file_ >= 0) files_.close(file_);
}

void FileWriter::fail(int code) {
  throw_write_error(path_, code);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  sha_.update(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const auto count = files_.write(file_, bytes);
    if (!count.ok()) {
      if (count.error().code == EINTR) continue;
      fail(count.error().code);
    }
    if (count.value() == 0) fail(EIO);  // no progress and no reason: do not spin
    bytes = bytes.subspan(count.value());
  }
}

void FileWriter::finish() {
  const int code = files_.fsync(file_);
  files_.close(file_);
  file_ = -1;
  if (code != 0) fail(code);
}

void produce_file_atomically(FileSystem& files, const std::string& path,
                             FunctionRef<void(FileWriter& writer)> produce, Access access) {
  std::unique_ptr<FileWriter> writer;
  const std::string temporary = beside(path, [&](const std::string& name) {
    const auto status = files.stat(name);
    if (status.ok()) return EEXIST;  // left by an earlier process with our number
    writer = std::make_unique<FileWriter>(files, name, access);
    return 0;
  });
  try {
    produce(*writer);
    writer->finish();
    if (const int code = files.rename(temporary, path); code != 0) throw_write_error(path, code);
  } catch (...) {
    files.unlink(temporary);
    throw;
  }
  sync_folder_of(files, path);
}

void write_file_atomically(FileSystem& files, const std::string& path,
                           std::span<const std::byte> bytes, Access access) {
  produce_file_atomically(
      files, path, [&](FileWriter& writer) { writer.write(bytes); }, access);
}

void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(posix_file_system(), path, bytes_of(text));
}

void write_link_atomically(FileSystem& files, const std::string& path, const std::string& target) {
  const std::string temporary =
      beside(path, [&](const std::string& name) { return files.symlink(target, name); });
  if (const int code = files.rename(temporary, path); code != 0) {
    files.unlink(temporary);
    throw_write_error(path, code);
  }
  sync_folder_of(files, path);
}

AtomicDirectory::AtomicDirectory(FileSystem& files, std::string path, Access access)
    : files_(files), path_(std::move(path)) {
  temporary_ = beside(path_, [&](const std::string& name) { return files_.mkdir(name, access); });
}

AtomicDirectory::~AtomicDirectory() {
  if (!committed_) remove_tree(files_, temporary_);
}

std::string AtomicDirectory::path_of(const std::string& name) const {
  SING_ASSERT(is_plain_name(name));
  return join_path(temporary_, name);
}

void AtomicDirectory::commit() {
  const auto check = [&](int code) {
    if (code != 0) throw_write_error(path_, code);
  };
  check(files_.fsync_dir(temporary_));
  const std::string old = join_path(folder_of(path_), std::string(kOld) + name_of_path(path_));
  const bool replaces = files_.stat(path_).ok();
  if (replaces) {
    check(remove_tree(files_, old));
    check(files_.rename(path_, old));
  }
  if (const int code = files_.rename(temporary_, path_); code != 0) {
    if (replaces) files_.rename(old, path_);
    check(code);
  }
  committed_ = true;
  sync_folder_of(files_, path_);
  if (replaces) remove_tree(files_, old);  // best effort: recover_folder removes it too
}

void recover_folder(FileSystem& files, const std::string& folder) {
  const auto names = files.list(folder);
  if (!names.ok()) return;  // nothing there yet, or unreadable: the next write says so
  for (const std::string& name : names.value()) {
    const std::string path = join_path(folder, name);
    if (name.starts_with(kOld)) {
      const std::string back = join_path(folder, name.substr(kOld.size()));
      const auto status = files.stat(back);
      if (status.ok()) {
        remove_tree(files, path);
      } else if (status.error().code == ENOENT) {  // any other error: it may be all there is
        if (files.rename(path, back) == 0) files.fsync_dir(folder);
      }
    } else if (name.starts_with(kNew)) {
      remove_tree(files, path);
    }
  }
}

void make_directories(FileSystem& files, const std::string& path, Access access) {
  int code = files.mkdir(path, access);
  if (code == ENOENT && folder_of(path) != path) {
    make_directories(files, folder_of(path), access);
    code = files.mkdir(path, access);  // once: /proc says ENOENT although the folder above is there
  }
  if (code == 0) {
    sync_folder_of(files, path);
  } else if (code != EEXIST) {
    throw_write_error(path, code);
  }
}

namespace {

int remove_level(FileSystem& files, const std::string& path, int levels) {
  const auto status = files.stat(path);
  if (!status.ok()) return status.error().code == ENOENT ? 0 : status.error().code;
  if (status.value().kind != FileKind::directory) return files.unlink(path);
  if (levels == 0) return ELOOP;
  const auto names = files.list(path);
  if (!names.ok()) return names.error().code;
  int first = 0;
  for (const std::string& name : names.value()) {
    const int code = remove_level(files, join_path(path, name), levels - 1);
    if (first == 0) first = code;
  }
  const int code = files.rmdir(path);
  return first != 0 ? first : code;
}

}  // namespace

int remove_tree(FileSystem& files, const std::string& path) {
  return remove_level(files, path, 64);
}

void remove_folder_atomically(FileSystem& files, const std::string& path) {
  const std::string hidden =
      beside(path, [&](const std::string& name) { return files.rename(path, name); });
  remove_tree(files, hidden);
}

}  // namespace sing
