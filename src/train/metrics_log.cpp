#include "sing/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/core/log.h"

namespace sing::train {
namespace {

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::round(std::chrono::duration<double>(now).count() * 1000) / 1000;
}

bool ends_in_torn_line(int file) {
  const off_t size = lseek(file, 0, SEEK_END);
  char last = '\n';
  return size > 0 && pread(file, &last, 1, size - 1) == 1 && last != '\n';
}

}  // namespace

MetricsLog::MetricsLog(const std::string& path)
    : file_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0)
    throw CheckpointError("cannot write " + path + ": " + std::strerror(errno), {}, {}, "E0401");
  if (ends_in_torn_line(file_)) append("\n");
}

MetricsLog::~MetricsLog() {
  close(file_);
}

void MetricsLog::append(const std::string& line) {
  // One write call per line: a kill cannot interleave, and nothing waits in a buffer.
  const ssize_t written = ::write(file_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size()) && !failed_) {
    failed_ = true;  // said once: training goes on, a full disk may get room again
    log_warning(std::string("metrics.jsonl is incomplete: ") + std::strerror(errno));
  }
}

void MetricsLog::write(const Position& position, const Values& values) {
  JsonValue record;
  record.set("t", seconds_since_1970());
  record.set("step", position.step);
  record.set("epoch", std::round(position.epoch * 1e4) / 1e4);
  record.set("samples", position.samples);
  for (const auto& [name, value] : values) record.set(name, value);
  append(to_json(record, {.nonfinite_as_null = true}) + "\n");
}

void MetricsLog::resume_at(int64_t step) {
  JsonValue record;
  record.set("t", seconds_since_1970());
  record.set("event", "resume");
  record.set("step", step);
  append(to_json(record) + "\n");
}

std::vector<MetricsRecord> read_metrics(const std::string& path) {
  constexpr uint64_t kLimit = uint64_t{1} << 31;
  FileSystem& files = posix_file_system();
  if (!files.stat(path).ok()) return {};
  const ByteBuffer bytes = read_file(files, path, kLimit);
  std::string_view text = bytes.text();
  std::vector<MetricsRecord> records;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // a torn last line
    const Result<JsonValue> line = read_json(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!line.ok() || !line.value().is_object()) continue;  // a line torn by an earlier kill
    const JsonValue& value = line.value();
    const JsonValue* step = value.find("step");
    if (!step || !step->is_integer()) continue;
    if (value.find("event")) {
      std::erase_if(records, [at = step->as_integer()](const MetricsRecord& record) {
        return record.position.step > at;
      });
      continue;
    }
    MetricsRecord record;
    record.position.step = step->as_integer();
    for (const auto& [name, member] : value.as_object()) {
      if (!member.is_number()) continue;
      if (name == "epoch") record.position.epoch = member.as_double();
      if (name == "samples") record.position.samples = member.as_integer();
      if (name.find('/') != std::string::npos) record.values.emplace_back(name, member.as_double());
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<std::pair<double, double>> series(const std::vector<MetricsRecord>& records,
                                              const std::string& name) {
  std::vector<std::pair<double, double>> points;
  for (const MetricsRecord& record : records)
    for (const auto& [key, value] : record.values)
      if (key == name) points.emplace_back(static_cast<double>(record.position.step), value);
  return points;
}

}  // namespace sing::train
