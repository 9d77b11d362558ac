#include "sing/backend/memory.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <utility>

#include "backend/context.h"
#include "sing/backend/layer_scope.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"

namespace sing::backend {

constinit thread_local Context t_context;

namespace {

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
    : purpose_before_(std::exchange(t_context.purpose, purpose)), phase_before_(t_context.phase) {
  if (phase) t_context.phase = phase;
}
MemoryScope::~MemoryScope() {
  t_context.purpose = purpose_before_;
  t_context.phase = phase_before_;
}

OpScope::OpScope(const char* name) {
  Context& c = t_context;
  before_ = std::exchange(c.op, name);
  first_before_ = std::exchange(c.first, c.count);
  if (c.recorder) enter_span(name);
}
OpScope::~OpScope() {
  Context& c = t_context;
  if (c.recorder) leave_span();
  c.op = before_;
  c.count = c.first;
  c.first = first_before_;
}

const char* current_op() {
  return t_context.op;
}

LayerScope::LayerScope(const std::string& name) : LayerScope(kept(name)) {}
LayerScope::LayerScope(const char* name) : before_(std::exchange(t_context.layer, name)) {}
LayerScope::~LayerScope() {
  t_context.layer = before_;
}

const char* layer() {
  return t_context.layer;
}

MemoryPurpose memory_purpose() {
  return t_context.purpose;
}

namespace {

/// Those of one kind, each once: "f32 (8, 64, 384), f32 (384)".
std::string operands_text(const Context& c, bool written) {
  std::string text;
  for (int i = c.first; i < c.count; ++i) {
    const Context::Operand& operand = c.operands[static_cast<size_t>(i)];
    bool seen = operand.written != written;
    for (int k = c.first; k < i && !seen; ++k) {
      const Context::Operand& other = c.operands[static_cast<size_t>(k)];
      seen = other.written == written && other.data == operand.data && other.shape == operand.shape;
    }
    if (seen) continue;
    text += text.empty() ? "" : ", ";
    text += std::string(name_of(operand.dtype)) + " " + to_string(operand.shape);
  }
  return text;
}

}  // namespace

std::string place_text() {
  const Context& c = t_context;
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const char* part : {c.phase, c.layer, c.op})
    if (part) add(part);
  if (!c.op) return text;
  const std::string read = operands_text(c, false), written = operands_text(c, true);
  if (!read.empty() || !written.empty()) add(read);
  if (!written.empty()) text += (read.empty() ? "-> " : " -> ") + written;
  return text;
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
  if (t_context.op) error = error.at(t_context.op);
  if (t_context.layer) error = error.at(t_context.layer);
  if (t_context.phase) error = error.at(t_context.phase);
  throw error;
}

}  // namespace sing::backend
