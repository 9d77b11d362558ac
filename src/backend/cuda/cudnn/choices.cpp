#include "backend/cuda/cudnn/choices.h"

#include <utility>

#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/core/json.h"
#include "sing/core/log.h"

namespace sing::cuda::cudnn {
namespace {

constexpr uint64_t kLargestFile = uint64_t{16} << 20;

}  // namespace

Choices::Choices(int64_t cudnn_version, std::string device)
    : version_(cudnn_version), device_(std::move(device)) {}

const EngineChoice* Choices::find(const PlanKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second.choice;
}

void Choices::put(const PlanKey& key, std::string name, EngineChoice choice) {
  entries_.insert_or_assign(key, Entry{std::move(name), std::move(choice)});
}

bool Choices::read(const std::string& text, const std::string& where) {
  const JsonValue all = parse_json(text, where);
  if (all.at("cudnn").as_integer() != version_ || all.at("device").as_string() != device_)
    return false;
  std::map<PlanKey, Entry> entries;
  for (const JsonValue& plan : all.at("plans").as_array()) {
    PlanKey key;
    for (const JsonValue& number : plan.at("key").as_array()) key.push_back(number.as_integer());
    EngineChoice choice{plan.at("engine").as_integer(), {}};
    for (const JsonValue& knob : plan.at("knobs").as_array()) {
      if (knob.as_array().size() != 2)
        throw DataError("a knob is not a pair of numbers", where, {}, "E0313");
      choice.knobs.emplace_back(knob.as_array()[0].as_integer(), knob.as_array()[1].as_integer());
    }
    entries.insert_or_assign(std::move(key), Entry{plan.at("name").as_string(), std::move(choice)});
  }
  entries.merge(entries_);
  entries_ = std::move(entries);
  return true;
}

std::string Choices::to_json() const {
  JsonValue plans = JsonValue::array();
  for (const auto& [key, entry] : entries_) {
    JsonValue numbers = JsonValue::array(), knobs = JsonValue::array();
    for (const int64_t number : key) numbers.push_back(number);
    for (const auto& [type, value] : entry.choice.knobs)
      knobs.push_back(JsonValue::array({type, value}));
    JsonValue plan;
    plan.set("name", entry.name)
        .set("key", std::move(numbers))
        .set("engine", entry.choice.engine)
        .set("knobs", std::move(knobs));
    plans.push_back(std::move(plan));
  }
  JsonValue all;
  all.set("cudnn", version_).set("device", device_).set("plans", std::move(plans));
  return sing::to_json(all);
}

bool Choices::load(const std::string& path) {
  FileSystem& files = posix_file_system();
  if (!files.stat(path).ok()) return false;  // the first run writes it
  try {
    if (read(std::string(read_file(files, path, kLargestFile).text()), path)) return true;
    log_info("cudnn: " + path + " was written for another device or version; choosing anew");
  } catch (const DataError& error) {
    log_warning("cudnn: plans are chosen anew: " + std::string(error.what()));
  }
  return false;
}

bool Choices::save(const std::string& path) const {
  try {
    write_file_atomically(path, to_json());
    return true;
  } catch (const CheckpointError& error) {
    log_warning("cudnn: chosen plans are not kept: " + std::string(error.what()));
    return false;
  }
}

}  // namespace sing::cuda::cudnn
