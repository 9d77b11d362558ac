#include "sing/train/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/train/console.h"

namespace sing::train {
namespace {

constexpr uint64_t kStatusLimit = 1 << 20;

/// Names sort by time; four characters keep two starts within a second apart. They name a folder
/// and take part in no number.
std::string fresh_name() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  uint64_t word = static_cast<uint64_t>(monotonic_seconds() * 1e9) * 0x9E3779B97F4A7C15ull ^
                  static_cast<uint64_t>(getpid()) * 0xBF58476D1CE4E5B9ull;
  word ^= word >> 29;
  std::string tail;
  for (int i = 0; i < 4; ++i, word /= 36) tail += kDigits[word % 36];
  return fmt::format("{:04}{:02}{:02}-{:02}{:02}{:02}-{}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, tail);
}

bool is_directory(const std::string& path) {
  const auto status = posix_file_system().stat(path);
  if (status.ok() && status.value().kind == FileKind::directory) return true;
  return status.ok() && status.value().kind == FileKind::link &&
         posix_file_system().list(path).ok();
}

bool exists(const std::string& path) {
  return posix_file_system().stat(path).ok();
}

}  // namespace

JsonValue RunStatus::to_json() const {
  return JsonValue::object({{"state", state},
                            {"exit_code", exit_code},
                            {"reason", reason},
                            {"config_hash", config_hash},
                            {"step", step},
                            {"failed_step", failed_step},
                            {"failures", failures}});
}

RunStatus RunStatus::from_json(const JsonValue& value) {
  RunStatus status;
  status.state = value.at("state").as_string();
  status.exit_code = static_cast<int>(value.at("exit_code").as_integer());
  status.reason = value.at("reason").as_string();
  status.config_hash = value.at("config_hash").as_string();
  status.step = value.at("step").as_integer();
  status.failed_step = value.at("failed_step").as_integer();
  status.failures = value.at("failures").as_integer();
  return status;
}

RunFolder RunFolder::create(const std::string& root, const std::string& name) {
  FileSystem& files = posix_file_system();
  const std::string family = root + "/" + name;
  make_directories(files, family);
  std::string folder;
  for (int attempt = 0;; ++attempt) {
    folder = fresh_name();
    const int code = files.mkdir(family + "/" + folder, Access::umask);
    if (code == 0) break;
    if (code != EEXIST || attempt == 10)
      throw CheckpointError("cannot write " + family + "/" + folder + ": " + error_text(code), {},
                            "choose another place with --output-dir", "E0401");
  }
  write_link_atomically(files, family + "/latest", folder);
  return RunFolder(family + "/" + folder);
}

bool RunFolder::is_run(const std::string& path) {
  return exists(path + "/status.json") || exists(path + "/latest/status.json");
}

RunFolder RunFolder::open(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.ends_with('/')) trimmed.pop_back();
  FileSystem& files = posix_file_system();
  for (int hops = 0; hops < 4; ++hops) {
    if (const auto target = files.readlink(trimmed); target.ok()) {
      trimmed = target.value().starts_with('/') ? target.value()
                                                : join_path(folder_of(trimmed), target.value());
      continue;
    }
    if (exists(trimmed + "/status.json")) return RunFolder(trimmed);
    if (!exists(trimmed + "/latest")) break;
    trimmed += "/latest";
  }
  throw CheckpointError("there is no run at " + path, {},
                        "a run is a folder with status.json, such as runs/NAME/latest", "E0402");
}

std::string RunFolder::id() const {
  return name_of_path(folder_of(path_)) + "/" + name_of_path(path_);
}

std::optional<RunStatus> RunFolder::status() const {
  FileSystem& files = posix_file_system();
  if (!exists(file("status.json"))) return std::nullopt;
  try {
    const ByteBuffer bytes = read_file(files, file("status.json"), kStatusLimit);
    return RunStatus::from_json(parse_json(bytes.text(), file("status.json")));
  } catch (const DataError&) {
    return std::nullopt;  // damaged: the run is then nothing that could be continued by itself
  }
}

void RunFolder::write_status(const RunStatus& status) const {
  write_text("status.json", sing::to_json(status.to_json(), {.indent = 2}) + "\n");
}

void RunFolder::write_text(const std::string& name, const std::string& text) const {
  write_file_atomically(file(name), text);
}

std::optional<RunFolder> find_unfinished(const std::string& root, const std::string& name,
                                         const std::string& config_hash,
                                         std::optional<int64_t> max_steps) {
  FileSystem& files = posix_file_system();
  const std::string family = root + "/" + name;
  const auto listed = files.list(family);
  if (!listed.ok()) return std::nullopt;
  std::vector<std::string> names = listed.value();
  std::sort(names.rbegin(), names.rend());
  for (const std::string& folder : names) {
    const std::string path = family + "/" + folder;
    if (folder == "latest" || !is_directory(path) || !exists(path + "/status.json")) continue;
    const RunFolder run = RunFolder::open(path);
    const std::optional<RunStatus> status = run.status();
    if (!status || status->config_hash != config_hash) continue;
    const bool ended_early = status->state == "finished" && status->reason == "max_steps" &&
                             (!max_steps || *max_steps > status->step);
    if (status->state == "finished" && !ended_early) continue;
    const auto lock = files.lock(path + "/run.lock");
    if (!lock.ok()) continue;  // somebody works on it
    files.close(lock.value());
    return run;
  }
  return std::nullopt;
}

}  // namespace sing::train
