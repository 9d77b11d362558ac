// What makes two starts the same run, and where checkpoints are found by the words people type.
#include <algorithm>

#include "sing/config/print.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/run_folder.h"
#include "sing/train/session.h"

namespace sing::train {
namespace {

/// Keys a continued run may change: they do not touch the sequence of weights.
constexpr std::string_view kFree[] = {
    "name",          "log",          "checkpoint",     "eval",
    "expect",        "data.workers", "data.prefetch",  "data.on_device",
    "train.threads", "train.graph",  "train.max_time", "train.device"};

bool is_free(std::string_view key) {
  return std::any_of(std::begin(kFree), std::end(kFree), [&](std::string_view free) {
    return key == free || (key.starts_with(free) && key[free.size()] == '.');
  });
}

}  // namespace

std::vector<config::Difference> config_changes(const config::Value& checkpoint,
                                               const config::Value& config) {
  std::vector<config::Difference> changes = config::differences(checkpoint, config);
  std::erase_if(changes, [](const config::Difference& d) { return is_free(d.path); });
  return changes;
}

std::string run_hash(const config::Value& complete) {
  config::Value fixed = complete;
  for (const std::string_view free : kFree) {
    const size_t dot = free.find('.');
    config::Value* map = dot == std::string_view::npos ? &fixed : fixed.find(free.substr(0, dot));
    if (map != nullptr) map->erase(dot == std::string_view::npos ? free : free.substr(dot + 1));
  }
  return config::config_hash(fixed);
}

CheckpointPlace find_checkpoint(const std::string& text) {
  FileSystem& files = posix_file_system();
  const auto has_manifest = [&](const std::string& folder) {
    return files.stat(folder + "/manifest.json").ok();
  };
  std::string path = text, which;
  if (const size_t at = text.rfind('@'); at != std::string::npos && !files.stat(text).ok()) {
    path = text.substr(0, at);
    which = text.substr(at + 1);
  }
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (which.empty() && has_manifest(path)) {
    const std::string run = folder_of(folder_of(path));
    return {RunFolder::is_run(run) ? run : "", path};
  }
  const RunFolder run = RunFolder::open(path);
  const CheckpointStore store(files, run.checkpoints());
  if (which == "best" || which == "last") {
    const std::string link = run.checkpoints() + "/" + which;
    if (!has_manifest(link))
      throw CheckpointError("run " + run.path() + " has no '" + which + "' checkpoint", {}, {},
                            "E0402");
    return {run.path(), run.checkpoints() + "/" + files.readlink(link).value()};
  }
  if (!which.empty()) {
    const bool digits = which.find_first_not_of("0123456789") == std::string::npos;
    const std::vector<int64_t> steps = store.steps();
    const int64_t step = digits && which.size() < 18 ? std::stoll(which) : -1;
    if (std::find(steps.begin(), steps.end(), step) == steps.end()) {
      std::string known;
      for (const int64_t s : steps) known += (known.empty() ? "" : ", ") + std::to_string(s);
      throw CheckpointError(
          "run " + run.path() + " has no checkpoint of step '" + which + "'", {},
          "there are: " + (known.empty() ? "none" : known) + "; also @best and @last", "E0402");
    }
    return {run.path(), store.path_of(step)};
  }
  const std::optional<LoadedCheckpoint> newest = store.load_newest();
  if (!newest)
    throw CheckpointError("run " + run.path() + " has no checkpoint yet", {}, {}, "E0402");
  return {run.path(), newest->path};
}

std::string find_run(const std::string& text) {
  std::string path = text;
  if (const size_t at = text.rfind('@');
      at != std::string::npos && !posix_file_system().stat(text).ok())
    path = text.substr(0, at);
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (RunFolder::is_run(path)) return RunFolder::open(path).path();
  const std::string above = folder_of(folder_of(path));
  return RunFolder::is_run(above) ? above : "";
}

LoadedConfig load_run_config(const std::string& run, const std::vector<std::string>& overrides) {
  config::LoadRequest request;
  request.files = {run + "/config.yaml"};
  request.overrides = overrides;
  return config::load<ExperimentConfig>(request);
}

}  // namespace sing::train
