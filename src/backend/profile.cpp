#include "sing/backend/profile.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "sing/backend/layer_scope.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

using Clock = std::chrono::steady_clock;
thread_local Profile::Recorder* t_recorder = nullptr;

}  // namespace

struct Profile::Recorder {
  explicit Recorder(Device where) : device(where), runtime(backend::runtime(where)) {
    if (on_device()) {
      runtime.synchronize(runtime.stream(0));
      start_mark = mark();
      start_mark->wait();
    }
    start = Clock::now();
  }
  bool on_device() const { return device.type != DeviceType::cpu; }
  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
  std::unique_ptr<StreamMark> mark() {
    auto fresh = runtime.mark(true);
    fresh->record(runtime.stream(0));
    return fresh;
  }

  struct Marks {
    std::unique_ptr<StreamMark> begin, end;
    std::vector<std::unique_ptr<StreamMark>> launches;
    std::vector<const void*> read, written;
  };
  Device device;
  DeviceRuntime& runtime;
  Clock::time_point start;
  std::unique_ptr<StreamMark> start_mark;
  std::vector<ProfileSpan> spans;
  std::vector<Marks> marks;
  std::vector<int> open;
};

Profile::Profile(Device device) : recorder_(std::make_unique<Recorder>(device)) {
  SING_ASSERT(t_recorder == nullptr);
  t_recorder = recorder_.get();
}

Profile::~Profile() {
  t_recorder = nullptr;
}

std::vector<ProfileSpan> Profile::finish() {
  t_recorder = nullptr;
  Recorder& r = *recorder_;
  if (r.on_device()) r.runtime.synchronize(r.runtime.stream(0));
  for (size_t i = 0; i < r.spans.size(); ++i) {
    ProfileSpan& span = r.spans[i];
    if (span.end < span.begin) span.end = r.now();  // still open
    span.device_begin = span.begin;
    span.device_end = span.end;
    if (!r.on_device() || !r.marks[i].end) continue;
    span.device_begin = r.marks[i].begin->seconds_since(*r.start_mark);
    span.device_end = r.marks[i].end->seconds_since(*r.start_mark);
    for (const auto& launch : r.marks[i].launches)
      span.launches.push_back(launch->seconds_since(*r.start_mark));
  }
  return std::exchange(r.spans, {});
}

bool profiling() {
  return t_recorder != nullptr;
}

void enter_span(const char* name) {
  if (t_recorder == nullptr) return;
  Profile::Recorder& r = *t_recorder;
  ProfileSpan span{.name = name, .layer = layer(), .parent = r.open.empty() ? -1 : r.open.back()};
  span.end = -1;
  r.open.push_back(static_cast<int>(r.spans.size()));
  r.spans.push_back(std::move(span));
  r.marks.emplace_back();
  if (r.on_device()) r.marks.back().begin = r.mark();
  r.spans.back().begin = r.now();
}

void leave_span() {
  if (t_recorder == nullptr || t_recorder->open.empty()) return;
  Profile::Recorder& r = *t_recorder;
  const auto at = static_cast<size_t>(r.open.back());
  r.open.pop_back();
  r.spans[at].end = r.now();
  if (r.on_device()) r.marks[at].end = r.mark();
}

void note_operand(const void* data, const Shape& shape, DType dtype, bool written) {
  if (t_recorder == nullptr || t_recorder->open.empty()) return;
  Profile::Recorder& r = *t_recorder;
  const auto at = static_cast<size_t>(r.open.back());
  ProfileSpan& span = r.spans[at];
  std::vector<const void*>& seen = written ? r.marks[at].written : r.marks[at].read;
  if (std::ranges::find(seen, data) != seen.end()) return;
  seen.push_back(data);
  const int64_t bytes = shape.numel() * static_cast<int64_t>(size_of(dtype));
  (written ? span.bytes_written : span.bytes_read) += bytes;
  constexpr size_t kEnough = 300;  // of a line that people read
  if (span.operands.size() > kEnough) return;
  if (!span.operands.empty()) span.operands += ", ";
  if (written) span.operands += "-> ";
  span.operands += std::string(name_of(dtype)) + " " + to_string(shape);
}

void note_flops(double flops) {
  if (t_recorder == nullptr || t_recorder->open.empty()) return;
  t_recorder->spans[static_cast<size_t>(t_recorder->open.back())].flops += flops;
}

void note_launch() {
  if (t_recorder == nullptr || t_recorder->open.empty() || !t_recorder->on_device()) return;
  const auto at = static_cast<size_t>(t_recorder->open.back());
  t_recorder->marks[at].launches.push_back(t_recorder->mark());
}

ProfileScope::ProfileScope(const char* name) {
  enter_span(name);
}
ProfileScope::~ProfileScope() {
  leave_span();
}

}  // namespace sing::backend
