#include "sing/backend/memory.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <utility>

#include "sing/backend/layer_scope.h"
#include "sing/backend/profile.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

thread_local MemoryPurpose t_purpose = MemoryPurpose::others;
thread_local const char* t_phase = nullptr;
thread_local const char* t_op = nullptr;
thread_local const char* t_layer = nullptr;

const char* kept(const std::string& name) {
  if (name.empty()) return nullptr;
  static std::mutex mutex;
  static auto* names = new std::set<std::string>;  // outlives every thread
  const std::lock_guard lock(mutex);
  return names->insert(name).first->c_str();
}

using Book = std::array<std::atomic<int64_t>, kMemoryPurposes>;
Book& book_of(DeviceType device) {
  static std::array<Book, kDeviceTypes> books{};
  return books[static_cast<size_t>(device)];
}

struct Unit {
  const char* name;
  double bytes;
};
Unit unit_of(int64_t bytes) {
  if (bytes >= int64_t{1} << 30) return {"GiB", 0x1p30};
  if (bytes >= int64_t{1} << 20) return {"MiB", 0x1p20};
  return {"KiB", 0x1p10};
}

std::string in_unit(int64_t bytes, Unit unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.2f", static_cast<double>(bytes) / unit.bytes);
  return text;
}

}  // namespace

std::string_view name_of(MemoryPurpose purpose) {
  constexpr std::array<std::string_view, kMemoryPurposes> names = {
      "activations", "optimizer", "weights", "gradients", "workspace", "others"};
  return names[static_cast<size_t>(purpose)];
}

MemoryScope::MemoryScope(MemoryPurpose purpose, const char* phase)
    : purpose_before_(std::exchange(t_purpose, purpose)), phase_before_(t_phase) {
  if (phase) t_phase = phase;
}
MemoryScope::~MemoryScope() {
  t_purpose = purpose_before_;
  t_phase = phase_before_;
}

OpScope::OpScope(const char* name) : before_(std::exchange(t_op, name)) {
  if (profiling()) enter_span(name);
}
OpScope::~OpScope() {
  if (profiling()) leave_span();
  t_op = before_;
}

const char* current_op() {
  return t_op;
}

LayerScope::LayerScope(const std::string& name) : LayerScope(kept(name)) {}
LayerScope::LayerScope(const char* name) : before_(std::exchange(t_layer, name)) {}
LayerScope::~LayerScope() {
  t_layer = before_;
}

const char* layer() {
  return t_layer;
}

MemoryPurpose memory_purpose() {
  return t_purpose;
}

void book_memory(DeviceType device, MemoryPurpose purpose, int64_t bytes) {
  book_of(device)[static_cast<size_t>(purpose)].fetch_add(bytes, std::memory_order_relaxed);
}

MemoryTable memory_table(Device device) {
  MemoryTable table;
  const Book& book = book_of(device.type);
  int64_t named = 0;
  for (size_t i = 0; i + 1 < kMemoryPurposes; ++i)
    named += table.bytes[i] = book[i].load(std::memory_order_relaxed);
  // Read after the book; another thread may release in between, hence the bound.
  table.total = std::max(runtime(device).memory().in_use, named);
  table.bytes[kMemoryPurposes - 1] = table.total - named;
  return table;
}

std::string MemoryTable::text(int64_t size) const {
  const Unit unit = unit_of(size);
  std::string result;
  for (size_t i = 0; i < kMemoryPurposes; ++i) {
    result += i == 0 ? "" : ", ";
    result += name_of(static_cast<MemoryPurpose>(i));
    result += " " + in_unit(bytes[i], unit);
  }
  return result;
}

std::string bytes_text(int64_t bytes) {
  const Unit unit = unit_of(bytes);
  return in_unit(bytes, unit) + " " + unit.name;
}

void throw_out_of_memory(Device device, size_t asked, int64_t limit) {
  const bool host = device.type == DeviceType::cpu;
  const MemoryTable table = memory_table(device);
  const int64_t whole = limit > 0 ? limit : table.total;
  std::string where = "asked " + bytes_text(static_cast<int64_t>(asked));
  if (limit > 0)
    where += ", free " + in_unit(std::max<int64_t>(0, limit - table.total), unit_of(whole)) +
             " of " + bytes_text(limit);
  else
    where += ", refused by the system; held " + bytes_text(table.total);
  OutOfMemoryError error(
      host ? "out of memory" : "out of GPU memory", where + ": " + table.text(whole),
      "use a smaller data.batch_size with train.accumulate", host ? "E0601" : "E0602");
  if (t_op) error = error.at(t_op);
  if (t_layer) error = error.at(t_layer);
  if (t_phase) error = error.at(t_phase);
  throw error;
}

}  // namespace sing::backend
