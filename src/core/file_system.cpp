#include "sing/core/file_system.h"

#include <cerrno>
#include <system_error>

#include "sing/core/utf8.h"

namespace sing {

FileSystem::~FileSystem() = default;

std::string error_text(int code) {
  return std::system_category().message(code);
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string folder_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

std::string name_of_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && is_printable_utf8(name);
}

bool is_plain_relative_path(std::string_view path) {
  if (path.size() > 4096) return false;
  while (true) {
    const size_t slash = path.find('/');
    if (!is_plain_name(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

ByteBuffer::ByteBuffer(size_t size)
    : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}

std::string_view ByteBuffer::text() const {
  return {reinterpret_cast<const char*>(data_.get()), size_};
}

namespace {

struct OpenFile {
  FileSystem& files;
  int id;
  ~OpenFile() { files.close(id); }
};

// Fault::offset is 1 for a file over the limit and 0 otherwise.
Result<ByteBuffer> read_open(FileSystem& files, int id, uint64_t limit) {
  const auto size = files.size(id);
  if (!size.ok()) return Fault{"cannot be read: " + error_text(size.error().code)};
  if (size.value() > limit)
    return Fault{"has " + std::to_string(size.value()) + " bytes, more than the limit of " +
                     std::to_string(limit),
                 1};
  ByteBuffer bytes(static_cast<size_t>(size.value()));
  size_t filled = 0;
  while (filled < bytes.size()) {
    const auto count = files.read(id, bytes.span().subspan(filled));
    if (!count.ok()) {
      if (count.error().code == EINTR) continue;
      return Fault{"cannot be read: " + error_text(count.error().code)};
    }
    if (count.value() == 0) return Fault{"became shorter while it was read"};
    filled += count.value();
  }
  return bytes;
}

}  // namespace

Result<ByteBuffer> try_read_file(FileSystem& files, const std::string& path, uint64_t limit,
                                 Links links) {
  auto id = files.open(path, links);
  while (!id.ok() && id.error().code == EINTR) id = files.open(path, links);
  if (!id.ok()) {
    const int code = id.error().code;
    return Fault{code == ELOOP && links == Links::refuse
                     ? "is a link, and links are not followed here"
                 : code == EINVAL ? "is not a regular file"
                                  : "cannot be opened: " + error_text(code)};
  }
  const OpenFile file{files, id.value()};
  return read_open(files, file.id, limit);
}

ByteBuffer read_file(FileSystem& files, const std::string& path, uint64_t limit, Links links) {
  auto bytes = try_read_file(files, path, limit, links);
  if (!bytes.ok())
    throw DataError("the file " + bytes.error().what, printable(path, 4096), {},
                    bytes.error().offset == 1 ? "E0302" : "E0301");
  return std::move(bytes).value();
}

ByteBuffer read_file_beneath(FileSystem& files, const std::string& root,
                             const std::string& relative, uint64_t limit) {
  const auto refuse = [&](const char* why) {
    throw DataError(std::string("a name in an index ") + why + ": '" + printable(relative) + "'",
                    root, "names must be relative and stay in their folder", "E0303");
  };
  if (!is_plain_relative_path(relative)) refuse("does not stay in its folder");
  for (size_t slash = relative.find('/'); slash != std::string::npos;
       slash = relative.find('/', slash + 1)) {
    const auto status = files.stat(join_path(root, relative.substr(0, slash)));
    if (status.ok() && status.value().kind == FileKind::link) refuse("goes through a link");
  }
  const auto status = files.stat(join_path(root, relative));
  if (status.ok() && status.value().kind == FileKind::link) refuse("is a link");
  return read_file(files, join_path(root, relative), limit, Links::refuse);
}

}  // namespace sing
