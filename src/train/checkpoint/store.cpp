#include <algorithm>
#include <chrono>
#include <cmath>

#include "manifest.h"
#include "sing/core/atomic_file.h"
#include "sing/core/byte_reader.h"
#include "sing/core/crc32c.h"
#include "sing/core/log.h"
#include "sing/tensor/safetensors.h"
#include "sing/train/checkpoint_store.h"

namespace sing::train {
namespace {

constexpr int64_t kLargestStep = (int64_t{1} << 53) - 1;

ManifestFile write_tensors(FileSystem& files, const AtomicDirectory& folder, const char* name,
                           const std::map<std::string, Tensor>& tensors) {
  SafetensorsWriter writer;
  for (const auto& [tensor_name, tensor] : tensors) writer.add(tensor_name, tensor);
  ManifestFile listed;
  for (const auto& item : writer.items())
    listed.tensors[item.entry.name] = crc_text(crc32c(item.bytes));
  FileWriter file(files, folder.path_of(name), Access::user);
  writer.write(file);
  file.finish();
  listed.bytes = file.size();
  listed.sha256 = file.sha256();
  return listed;
}

ManifestFile write_text(FileSystem& files, const AtomicDirectory& folder, const char* name,
                        std::string_view text) {
  FileWriter file(files, folder.path_of(name), Access::user);
  file.write(bytes_of(text));
  file.finish();
  return {file.size(), file.sha256(), {}};
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  SING_ASSERT(step >= 0 && step <= kLargestStep);
  std::string digits = std::to_string(step);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  return "step-" + digits;
}

std::optional<int64_t> step_of_checkpoint(const std::string& name) {
  if (!name.starts_with("step-") || name.size() < 13 || name.size() > 21) return std::nullopt;
  int64_t step = 0;
  for (const char c : name.substr(5)) {
    if (c < '0' || c > '9') return std::nullopt;
    step = step * 10 + (c - '0');
  }
  if (step > kLargestStep || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

CheckpointStore::CheckpointStore(FileSystem& files, std::string folder,
                                 CheckpointRetention retention)
    : files_(files), folder_(std::move(folder)), retention_(retention) {}

void CheckpointStore::recover() {
  recover_folder(files_, folder_);
}

std::string CheckpointStore::path_of(int64_t step) const {
  return join_path(folder_, checkpoint_name(step));
}

SavedCheckpoint CheckpointStore::save(int64_t step, const CheckpointContents& contents,
                                      std::optional<double> score) {
  const auto start = std::chrono::steady_clock::now();
  make_directories(files_, folder_, Access::user);
  SavedCheckpoint saved{step, path_of(step), 0, 0, false};
  Manifest manifest{step, score, {}};
  {
    AtomicDirectory folder(files_, saved.path);
    manifest.files[kModelFile] = write_tensors(files_, folder, kModelFile, contents.model);
    manifest.files[kOptimizerFile] =
        write_tensors(files_, folder, kOptimizerFile, contents.optimizer);
    manifest.files[kStateFile] =
        write_text(files_, folder, kStateFile, to_json(contents.state, {.indent = 1}));
    saved.bytes = write_text(files_, folder, kManifestFile, to_text(manifest)).bytes;
    for (const auto& file : manifest.files) saved.bytes += file.second.bytes;
    folder.commit();
  }
  known_.erase(step);
  const auto back = try_load_checkpoint(files_, saved.path);
  if (!back.ok())
    throw CheckpointError("checkpoint " + checkpoint_name(step) +
                              " was written but does not read back: " + back.error().what,
                          saved.path, "the disk or the memory of this machine is faulty", "E0405");
  known_[step] = {true, score};
  // From here on the checkpoint is safe: trouble with links and old folders is not its failure.
  try {
    point("last", step);
    saved.is_best = best_step() == step;
    if (saved.is_best) point("best", step);
    prune();
  } catch (const CheckpointError& e) {
    log_warning(std::string("after ") + checkpoint_name(step) + " was saved: " + e.what());
  }
  saved.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return saved;
}

void CheckpointStore::point(const char* link, int64_t step) {
  write_link_atomically(files_, join_path(folder_, link), checkpoint_name(step));
}

std::vector<int64_t> CheckpointStore::steps() const {
  std::vector<int64_t> found;
  const auto names = files_.list(folder_);
  if (!names.ok()) return found;
  for (const std::string& name : names.value())
    if (const auto step = step_of_checkpoint(name)) found.push_back(*step);
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<LoadedCheckpoint> CheckpointStore::load_newest() const {
  std::vector<int64_t> candidates = steps();
  std::reverse(candidates.begin(), candidates.end());
  std::vector<std::string> passed_over;
  for (const int64_t step : candidates) {
    auto loaded = try_load_checkpoint(files_, path_of(step));
    if (loaded.ok()) {
      loaded.value().passed_over = std::move(passed_over);
      return std::move(loaded).value();
    }
    passed_over.push_back(checkpoint_name(step) + ": " + loaded.error().what);
  }
  if (passed_over.empty()) return std::nullopt;
  std::string what = "none of the " + std::to_string(passed_over.size()) + " checkpoints is usable";
  for (const std::string& reason : passed_over) what += "\n  " + reason;
  throw CheckpointError(what, folder_, "start anew with --resume never, or restore the folder",
                        "E0402");
}

LoadedCheckpoint CheckpointStore::load_step(int64_t step) const {
  auto loaded = try_load_checkpoint(files_, path_of(step));
  if (!loaded.ok())
    throw CheckpointError(
        "checkpoint " + checkpoint_name(step) + " cannot be used: " + loaded.error().what,
        path_of(step), {}, "E0402");
  return std::move(loaded).value();
}

const CheckpointStore::Known& CheckpointStore::known(int64_t step) {
  const auto found = known_.find(step);
  if (found != known_.end()) return found->second;
  const auto loaded = try_load_checkpoint(files_, path_of(step));
  Known facts;
  facts.usable = loaded.ok();
  if (loaded.ok()) facts.score = loaded.value().score;
  return known_[step] = facts;
}

bool CheckpointStore::usable(int64_t step) {
  return known(step).usable;
}

namespace {

// Steps with a score, best first; of equal ones the earlier first.
std::vector<int64_t> ranked(std::vector<std::pair<double, int64_t>> scores, bool higher_is_better) {
  for (auto& score : scores)
    if (higher_is_better) score.first = -score.first;
  std::sort(scores.begin(), scores.end());
  std::vector<int64_t> steps;
  for (const auto& score : scores) steps.push_back(score.second);
  return steps;
}

}  // namespace

std::optional<int64_t> CheckpointStore::best_step() {
  const auto best = best_steps(1);
  if (best.empty()) return std::nullopt;
  return best.front();
}

std::vector<int64_t> CheckpointStore::best_steps(int count) {
  std::vector<std::pair<double, int64_t>> scores;
  for (const int64_t step : steps()) {
    const Known& facts = known(step);
    if (facts.usable && facts.score && !std::isnan(*facts.score))
      scores.emplace_back(*facts.score, step);
  }
  std::vector<int64_t> best = ranked(std::move(scores), retention_.higher_is_better);
  best.resize(std::min(best.size(), static_cast<size_t>(std::max(count, 0))));
  return best;
}

void CheckpointStore::prune() {
  std::vector<int64_t> newest_first = steps();
  std::reverse(newest_first.begin(), newest_first.end());
  std::vector<int64_t> best = best_steps(std::max(retention_.keep_best, 1));
  int usable_kept = 0;
  for (const int64_t step : newest_first) {
    // Two usable ones stay whatever was asked for, counted from the newest.
    const bool recent = usable_kept < std::max(retention_.keep_last, 2);
    usable_kept += usable(step);
    const bool periodic =
        retention_.keep_every > 0 && step > 0 && step % retention_.keep_every == 0;
    if (recent || periodic || std::find(best.begin(), best.end(), step) != best.end()) continue;
    remove_folder_atomically(files_, path_of(step));
    known_.erase(step);
  }
}

void CheckpointStore::check_room(uint64_t bytes, int count) const {
  const auto free = files_.free_bytes(folder_);
  if (!free.ok()) return;  // a file system that does not say: the writes will
  const uint64_t wanted = bytes * static_cast<uint64_t>(count);
  if (free.value() >= wanted) return;
  throw CheckpointError("not enough room for " + std::to_string(count) +
                            " more checkpoints: " + std::to_string(wanted >> 20) + " MiB wanted, " +
                            std::to_string(free.value() >> 20) + " MiB free",
                        folder_, "free some space, or choose another place with --output-dir",
                        "E0403");
}

void SaveFailures::failed(const Error& reason) {
  if (++count_ < limit_) return;
  throw CheckpointError(std::to_string(count_) + " checkpoints in a row could not be written; " +
                            "the last time: " + reason.what(),
                        reason.where(), reason.hint(), "E0404");
}

}  // namespace sing::train
