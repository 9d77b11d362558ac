#pragma once
// A file system in memory that knows what would survive a crash. It is as unkind as POSIX allows:
// names reach the disk only with fsync_dir (any subset of those not yet synced may), contents only
// with fsync (each 512-byte sector of the rest may be the old one, the new one or zeros), and a
// failed fsync loses for good what was not yet written. Built for tests: not thread-safe.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sing/core/byte_reader.h"
#include "sing/core/file_system.h"

namespace sing::test {

/// A small generator for choosing crash states; not for training.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 2654435769u + 88172645463325252u) {}
  uint64_t operator()(uint64_t sides) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 11) % sides;
  }

 private:
  uint64_t state_;
};

/// How much of what was not synced a crash keeps.
enum class Survival { nothing, everything, some };

class SimFileSystem final : public FileSystem {
 public:
  enum class Call {
    create,
    open,
    write,
    read,
    size,
    fsync,
    mkdir,
    symlink,
    readlink,
    rename,
    fsync_dir,
    unlink,
    rmdir,
    list,
    stat,
    lock,
    truncate,
    free_bytes
  };
  static constexpr int kShortWrite = -1;
  static constexpr int kNothing = -2;

  /// Asked before every call that changes something or is about to: returns 0 to go on, an errno
  /// value to fail, kShortWrite to write half, or kNothing to read or write no byte.
  std::function<int(Call call, const std::string& path)> before;
  /// Told after every call that changed something.
  std::function<void()> after;
  /// Calls of this kind report success and do nothing.
  std::optional<Call> skip;
  /// All files together may hold this many bytes.
  uint64_t budget = ~uint64_t{0};
  /// False: lock() says ENOLCK.
  bool has_locks = true;

  SimFileSystem() : root_(std::make_shared<Node>()) { root_->kind = FileKind::directory; }

  /// What a machine that stops now may find when it starts again.
  SimFileSystem after_crash(Survival survival, Dice& dice) const {
    SimFileSystem next;
    std::map<const Node*, NodePtr> copies;
    next.root_ = survivor(*root_, survival, dice, copies);
    return next;
  }

  uint64_t bytes_used() const { return bytes_in(*root_); }
  int calls() const { return calls_; }
  int open_files() const { return static_cast<int>(open_.size()); }

  /// Direct access to a file's bytes, as damage would have it. Null when there is no such file.
  std::vector<std::byte>* contents(const std::string& path) {
    const NodePtr node = find(path);
    return node == nullptr || node->kind != FileKind::file ? nullptr : &node->content;
  }
  /// Puts a file there, durable.
  void put(const std::string& path, std::span<const std::byte> bytes) {
    auto [folder, name] = parent(path);
    if (folder == nullptr) return;
    auto node = std::make_shared<Node>();
    node->kind = FileKind::file;
    node->content.assign(bytes.begin(), bytes.end());
    node->durable = node->content;
    assign(*folder, {{name, node}});
    flush(*folder);
  }
  void put_folder(const std::string& path) {
    auto [folder, name] = parent(path);
    if (folder == nullptr) return;
    auto node = std::make_shared<Node>();
    node->kind = FileKind::directory;
    assign(*folder, {{name, node}});
    flush(*folder);
  }

  IoResult<FileId> create(const std::string& path, Access) override {
    if (const int code = asked(Call::create, path)) return IoError{code};
    auto [folder, name] = parent(path);
    if (folder == nullptr) return IoError{ENOENT};
    if (folder->entries.contains(name)) return IoError{EEXIST};
    auto node = std::make_shared<Node>();
    node->kind = FileKind::file;
    assign(*folder, {{name, node}});
    const FileId id = opened(node);
    changed();
    return id;
  }

  IoResult<FileId> open(const std::string& path, Links links) override {
    if (const int code = asked(Call::open, path)) return IoError{code};
    NodePtr node = find(path);
    if (node != nullptr && node->kind == FileKind::link) {
      if (links == Links::refuse) return IoError{ELOOP};
      node = find(join_path(folder_of(path), node->target));
    }
    if (node == nullptr) return IoError{ENOENT};
    if (node->kind == FileKind::directory) return IoError{EISDIR};
    if (node->kind != FileKind::file) return IoError{EINVAL};
    return opened(node);
  }

  IoResult<size_t> write(FileId file, std::span<const std::byte> bytes) override {
    const int code = asked(Call::write, {});
    if (code > 0) return IoError{code};
    if (code == kNothing) return size_t{0};
    size_t count = bytes.size();
    if (code == kShortWrite && count > 1) count /= 2;
    const uint64_t used = bytes_used();
    if (used >= budget && count > 0) return IoError{ENOSPC};
    count = static_cast<size_t>(std::min<uint64_t>(count, budget - used));
    Node& node = *open_.at(file).node;
    node.content.insert(node.content.end(), bytes.begin(),
                        bytes.begin() + static_cast<ptrdiff_t>(count));
    node.dirty = true;
    changed();
    return count;
  }

  IoResult<size_t> read(FileId file, std::span<std::byte> bytes) override {
    const int code = asked(Call::read, {});
    if (code > 0) return IoError{code};
    if (code == kNothing) return size_t{0};
    Open& open = open_.at(file);
    const size_t count = std::min(bytes.size(), open.node->content.size() - open.position);
    std::copy_n(open.node->content.begin() + static_cast<ptrdiff_t>(open.position), count,
                bytes.begin());
    open.position += count;
    return count;
  }

  IoResult<size_t> read_at(FileId file, uint64_t place, std::span<std::byte> bytes) override {
    if (const int code = asked(Call::read, {})) return IoError{code};
    const std::vector<std::byte>& content = open_.at(file).node->content;
    const size_t from = std::min<size_t>(place, content.size());
    const size_t count = std::min(bytes.size(), content.size() - from);
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(from), count, bytes.begin());
    return count;
  }

  IoResult<uint64_t> size(FileId file) override {
    if (const int code = asked(Call::size, {})) return IoError{code};
    return static_cast<uint64_t>(open_.at(file).node->content.size());
  }

  int fsync(FileId file) override {
    Node& node = *open_.at(file).node;
    if (const int code = asked(Call::fsync, {})) {
      node.lost = true;
      return code;
    }
    if (skip == Call::fsync) return 0;
    if (!node.lost) node.durable = node.content;
    node.dirty = node.lost;
    changed();
    return 0;
  }

  void close(FileId file) override {
    if (open_.at(file).holds_lock) locked_.erase(open_.at(file).node.get());
    open_.erase(file);
  }

  int truncate(FileId file) override {
    if (const int code = asked(Call::truncate, {})) return code;
    open_.at(file).node->content.clear();
    open_.at(file).node->dirty = true;
    changed();
    return 0;
  }

  int mkdir(const std::string& path, Access) override {
    return add(Call::mkdir, path, FileKind::directory, {});
  }
  int symlink(const std::string& target, const std::string& path) override {
    return add(Call::symlink, path, FileKind::link, target);
  }
  IoResult<std::string> readlink(const std::string& path) override {
    if (const int code = asked(Call::readlink, path)) return IoError{code};
    const NodePtr node = find(path);
    if (node == nullptr) return IoError{ENOENT};
    if (node->kind != FileKind::link) return IoError{EINVAL};
    return node->target;
  }

  int rename(const std::string& from, const std::string& to) override {
    if (const int code = asked(Call::rename, from)) return code;
    auto [source, old_name] = parent(from);
    auto [folder, new_name] = parent(to);
    if (source == nullptr || folder == nullptr || !source->entries.contains(old_name))
      return ENOENT;
    if (source != folder) return EXDEV;  // never wanted: such a rename is not atomic on a crash
    const NodePtr node = source->entries[old_name];
    if (const auto there = folder->entries.find(new_name); there != folder->entries.end()) {
      if (there->second->kind == FileKind::directory) {
        if (node->kind != FileKind::directory) return EISDIR;
        if (!there->second->entries.empty()) return ENOTEMPTY;
      } else if (node->kind == FileKind::directory) {
        return ENOTDIR;
      }
    }
    assign(*folder, {{old_name, nullptr}, {new_name, node}});
    changed();
    return 0;
  }

  int fsync_dir(const std::string& path) override {
    if (const int code = asked(Call::fsync_dir, path)) return code;
    if (skip == Call::fsync_dir) return 0;
    const NodePtr node = find(path);
    if (node == nullptr) return ENOENT;
    flush(*node);
    changed();
    return 0;
  }

  int unlink(const std::string& path) override {
    if (const int code = asked(Call::unlink, path)) return code;
    auto [folder, name] = parent(path);
    if (folder == nullptr || !folder->entries.contains(name)) return ENOENT;
    if (folder->entries[name]->kind == FileKind::directory) return EISDIR;
    assign(*folder, {{name, nullptr}});
    changed();
    return 0;
  }

  int rmdir(const std::string& path) override {
    if (const int code = asked(Call::rmdir, path)) return code;
    auto [folder, name] = parent(path);
    if (folder == nullptr || !folder->entries.contains(name)) return ENOENT;
    if (folder->entries[name]->kind != FileKind::directory) return ENOTDIR;
    if (!folder->entries[name]->entries.empty()) return ENOTEMPTY;
    assign(*folder, {{name, nullptr}});
    changed();
    return 0;
  }

  IoResult<std::vector<std::string>> list(const std::string& path) override {
    if (const int code = asked(Call::list, path)) return IoError{code};
    const NodePtr node = find(path);
    if (node == nullptr) return IoError{ENOENT};
    if (node->kind != FileKind::directory) return IoError{ENOTDIR};
    std::vector<std::string> names;
    for (const auto& entry : node->entries) names.push_back(entry.first);
    return names;
  }

  IoResult<FileStatus> stat(const std::string& path) override {
    if (const int code = asked(Call::stat, path)) return IoError{code};
    const NodePtr node = find(path);
    if (node == nullptr) return IoError{ENOENT};
    return FileStatus{node->kind, node->content.size()};
  }

  IoResult<FileId> lock(const std::string& path) override {
    if (const int code = asked(Call::lock, path)) return IoError{code};
    if (!has_locks) return IoError{ENOLCK};
    auto [folder, name] = parent(path);
    if (folder == nullptr) return IoError{ENOENT};
    NodePtr node = find(path);
    if (node == nullptr) {
      node = std::make_shared<Node>();
      node->kind = FileKind::file;
      assign(*folder, {{name, node}});
    }
    if (!locked_.insert(node.get()).second) return IoError{EWOULDBLOCK};
    changed();
    const FileId file = opened(node);
    open_.at(file).holds_lock = true;
    return file;
  }

  IoResult<uint64_t> free_bytes(const std::string& path) override {
    if (const int code = asked(Call::free_bytes, path)) return IoError{code};
    return budget - std::min(budget, bytes_used());
  }

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Change = std::vector<std::pair<std::string, NodePtr>>;  // null: the name goes
  struct Node {
    FileKind kind = FileKind::other;
    std::vector<std::byte> content, durable;  // files
    bool dirty = false, lost = false;
    std::map<std::string, NodePtr> entries, durable_entries;  // folders
    std::vector<Change> pending;
    std::string target;  // links
  };
  struct Open {
    NodePtr node;
    size_t position = 0;
    bool holds_lock = false;
  };

  int asked(Call call, const std::string& path) {
    ++calls_;
    return before ? before(call, path) : 0;
  }
  void changed() {
    if (after) after();
  }
  FileId opened(NodePtr node) {
    open_[next_id_] = {std::move(node)};
    return next_id_++;
  }
  static void assign(Node& folder, Change change) {
    apply(folder.entries, change);
    folder.pending.push_back(std::move(change));
  }
  static void apply(std::map<std::string, NodePtr>& entries, const Change& change) {
    for (const auto& [name, node] : change) {
      if (node == nullptr)
        entries.erase(name);
      else
        entries[name] = node;
    }
  }
  static void flush(Node& folder) {
    folder.durable_entries = folder.entries;
    folder.pending.clear();
  }
  int add(Call call, const std::string& path, FileKind kind, const std::string& target) {
    if (const int code = asked(call, path)) return code;
    auto [folder, name] = parent(path);
    if (folder == nullptr) return ENOENT;
    if (folder->entries.contains(name)) return EEXIST;
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->target = target;
    assign(*folder, {{name, node}});
    changed();
    return 0;
  }

  NodePtr find(const std::string& path) const {
    NodePtr node = root_;
    for (size_t from = 0; from < path.size();) {
      size_t slash = path.find('/', from);
      if (slash == std::string::npos) slash = path.size();
      const std::string name = path.substr(from, slash - from);
      from = slash + 1;
      if (name.empty() || name == ".") continue;
      if (node->kind == FileKind::link) return nullptr;
      const auto entry = node->entries.find(name);
      if (entry == node->entries.end()) return nullptr;
      const NodePtr parent_node = node;
      node = entry->second;
      if (node->kind == FileKind::link && from < path.size()) {  // one step, in its own folder
        const auto target = parent_node->entries.find(node->target);
        if (target == parent_node->entries.end()) return nullptr;
        node = target->second;
      }
    }
    return node;
  }
  std::pair<Node*, std::string> parent(const std::string& path) const {
    const NodePtr folder = find(folder_of(path));
    if (folder == nullptr || folder->kind != FileKind::directory) return {nullptr, {}};
    return {folder.get(), name_of_path(path)};
  }

  static uint64_t bytes_in(const Node& node) {
    uint64_t sum = node.content.size();
    for (const auto& entry : node.entries) sum += bytes_in(*entry.second);
    return sum;
  }

  static std::vector<std::byte> torn(const Node& node, Survival survival, Dice& dice) {
    if (!node.dirty || survival == Survival::nothing) return node.durable;
    if (survival == Survival::everything && !node.lost) return node.content;
    std::vector<std::byte> mix = node.content;
    for (size_t sector = 0; sector < mix.size(); sector += 512) {
      const uint64_t choice = dice(3);
      for (size_t i = sector; i < std::min(mix.size(), sector + 512); ++i) {
        if (choice == 0) mix[i] = std::byte{0};
        if (choice == 1) mix[i] = i < node.durable.size() ? node.durable[i] : std::byte{0};
      }
    }
    if (dice(2) == 0) mix.resize(static_cast<size_t>(dice(mix.size() + 1)));
    return mix;
  }

  static NodePtr survivor(const Node& node, Survival survival, Dice& dice,
                          std::map<const Node*, NodePtr>& copies) {
    if (const auto known = copies.find(&node); known != copies.end()) return known->second;
    auto copy = std::make_shared<Node>();
    copies[&node] = copy;
    copy->kind = node.kind;
    copy->target = node.target;
    copy->content = torn(node, survival, dice);
    copy->durable = copy->content;
    auto entries = node.durable_entries;
    for (const Change& change : node.pending)
      if (survival == Survival::everything || (survival == Survival::some && dice(2) == 0))
        apply(entries, change);
    for (const auto& [name, child] : entries)
      copy->entries[name] = survivor(*child, survival, dice, copies);
    copy->durable_entries = copy->entries;
    return copy;
  }

  NodePtr root_;
  std::map<FileId, Open> open_;
  std::set<const Node*> locked_;
  FileId next_id_ = 3;
  int calls_ = 0;
};

}  // namespace sing::test
