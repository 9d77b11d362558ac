#include "sing/backend/profile.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "backend/context.h"
#include "sing/backend/layer_scope.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

using Clock = std::chrono::steady_clock;

/// Timed events on a device, made ahead: making one between two launches would take its time there.
class Marks {
 public:
  explicit Marks(DeviceRuntime& runtime) : runtime_(runtime) {
    constexpr int kAhead = 4096;
    for (int i = 0; i < kAhead; ++i) marks_.push_back({runtime_.mark(true), 0, 0});
  }
  /// The number of a mark behind what is queued on `stream`.
  int record(int stream) {
    if (used_ == marks_.size()) marks_.push_back({runtime_.mark(true), 0, 0});
    Mark& mark = marks_[used_];
    mark.stream = stream;
    mark.event->record(runtime_.stream(stream));
    return static_cast<int>(used_++);
  }
  /// Waits until all are passed, then reads their times, since the first one.
  void resolve() {
    if (used_ == 0) return;
    for (const int stream : {0, 1}) runtime_.synchronize(runtime_.stream(stream));
    // A time between two events is a float of milliseconds: exact enough only over short distances.
    constexpr double kShort = 0.05;
    const Mark* anchor = &marks_[0];
    for (size_t i = 1; i < used_; ++i) {
      Mark& mark = marks_[i];
      const double distance = mark.event->seconds_since(*anchor->event);
      mark.seconds = anchor->seconds + distance;
      if (distance > kShort && mark.stream == 0) anchor = &mark;
    }
  }
  double seconds(int number) const { return marks_[static_cast<size_t>(number)].seconds; }
  void wait(int number) { marks_[static_cast<size_t>(number)].event->wait(); }

 private:
  struct Mark {
    std::unique_ptr<StreamMark> event;
    int stream;
    double seconds;
  };
  DeviceRuntime& runtime_;
  std::vector<Mark> marks_;
  size_t used_ = 0;
};

/// The median over a few intervals around the least that a device can do.
double shortest_interval(DeviceRuntime& runtime) {
  constexpr size_t kBytes = 256, kTimes = 15;
  const Stream stream = runtime.stream(0);
  void* memory = runtime.allocate(kBytes, stream);
  const auto before = runtime.mark(true), after = runtime.mark(true);
  std::vector<double> times;
  for (size_t i = 0; i < kTimes; ++i) {
    before->record(stream);
    runtime.fill_zero(memory, kBytes, stream);
    after->record(stream);
    after->wait();
    times.push_back(after->seconds_since(*before));
  }
  runtime.release(memory, kBytes, stream);
  std::ranges::sort(times);
  return times[kTimes / 2];
}

}  // namespace

struct Profile::Recorder {
  /// What is known of the operands since the last launch that came before one of them.
  struct Segment {
    Work work;
    std::vector<const void*> read, written;
    std::vector<size_t> launches;
  };
  struct Open {
    int span;
    size_t depth;  // launches that were open when it began
    Segment segment;
    std::vector<const void*> read, written;  // of the whole op
  };
  struct Begun {
    int stream, mark;
    double begin;
  };

  explicit Recorder(Device where) : device(where), runtime(backend::runtime(where)) {
    if (on_device()) {
      record.shortest = shortest_interval(runtime);
      marks = std::make_unique<Marks>(runtime);
      runtime.synchronize(runtime.stream(0));
      marks->wait(marks->record(0));
    }
    start = Clock::now();
  }
  bool on_device() const { return device.type != DeviceType::cpu; }
  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }

  /// Operands belong to a launch when the op ran nothing else between them and the next ones.
  void settle(Segment& segment) {
    if (segment.launches.size() == 1) {
      Work& work = record.launches[segment.launches[0]].work;
      if (!work.known()) work = segment.work;
    }
    segment = {};
  }
  Segment& segment_for_operand() {
    Segment& segment = open.back().segment;
    if (!segment.launches.empty()) settle(segment);
    return segment;
  }
  ProfileSpan& span() { return record.spans[static_cast<size_t>(open.back().span)]; }

  Device device;
  DeviceRuntime& runtime;
  Clock::time_point start;
  std::unique_ptr<Marks> marks;
  ProfileRecord record;
  std::vector<std::pair<int, int>> launch_marks;  // of each launch
  std::vector<Open> open;
  std::vector<Begun> begun;
  Work next;  // of note_work
};

namespace {

bool first_time(std::vector<const void*>& seen, const void* data) {
  if (std::ranges::find(seen, data) != seen.end()) return false;
  seen.push_back(data);
  return true;
}

/// Spans reach over the launches in them, and in the spans in them.
void place_spans(ProfileRecord& record) {
  std::vector<bool> any(record.spans.size(), false);
  for (const ProfileLaunch& launch : record.launches) {
    if (launch.stream != 0) continue;
    for (int i = launch.span; i >= 0; i = record.spans[static_cast<size_t>(i)].parent) {
      const auto at = static_cast<size_t>(i);
      ProfileSpan& span = record.spans[at];
      span.device_begin = any[at] ? std::min(span.device_begin, launch.begin) : launch.begin;
      span.device_end = any[at] ? std::max(span.device_end, launch.end) : launch.end;
      any[at] = true;
    }
  }
}

}  // namespace

Profile::Profile(Device device) : recorder_(std::make_unique<Recorder>(device)) {
  SING_ASSERT(t_context.recorder == nullptr);
  t_context.recorder = recorder_.get();
}

Profile::~Profile() {
  if (t_context.recorder == recorder_.get()) t_context.recorder = nullptr;
}

ProfileRecord Profile::finish() {
  t_context.recorder = nullptr;
  Recorder& r = *recorder_;
  for (Recorder::Open& open : r.open) {
    r.settle(open.segment);
    r.record.spans[static_cast<size_t>(open.span)].end = r.now();
  }
  r.open.clear();
  ProfileRecord record = std::exchange(r.record, {});
  if (!r.on_device()) {
    for (ProfileSpan& span : record.spans) {
      span.device_begin = span.begin;
      span.device_end = span.end;
    }
    return record;
  }
  r.marks->resolve();
  for (size_t i = 0; i < record.launches.size(); ++i) {
    record.launches[i].begin = r.marks->seconds(r.launch_marks[i].first);
    record.launches[i].end = r.marks->seconds(r.launch_marks[i].second);
  }
  place_spans(record);
  return record;
}

bool profiling() {
  return t_context.recorder != nullptr;
}

void enter_span(const char* name) {
  if (!profiling()) return;
  Profile::Recorder& r = *t_context.recorder;
  ProfileSpan span{
      .name = name, .layer = layer(), .parent = r.open.empty() ? -1 : r.open.back().span};
  r.open.push_back({static_cast<int>(r.record.spans.size()), r.begun.size(), {}, {}, {}});
  span.begin = r.now();
  r.record.spans.push_back(std::move(span));
}

void leave_span() {
  if (!profiling() || t_context.recorder->open.empty()) return;
  Profile::Recorder& r = *t_context.recorder;
  r.span().end = r.now();
  r.settle(r.open.back().segment);
  r.begun.resize(std::min(r.begun.size(), r.open.back().depth));
  r.next = {};
  r.open.pop_back();
}

void note_operand(const void* data, const Shape& shape, DType dtype, bool written) {
  Context& c = t_context;
  if (c.op != nullptr && c.count < Context::kOperands)
    c.operands[static_cast<size_t>(c.count++)] = {data, shape, dtype, written};
  if (c.recorder == nullptr || c.recorder->open.empty()) return;
  Profile::Recorder& r = *c.recorder;
  const int64_t bytes = checked_bytes(shape.numel(), dtype);
  Profile::Recorder::Segment& segment = r.segment_for_operand();
  if (first_time(written ? segment.written : segment.read, data))
    (written ? segment.work.written : segment.work.read) += bytes;
  if (!first_time(written ? r.open.back().written : r.open.back().read, data)) return;
  ProfileSpan& span = r.span();
  (written ? span.work.written : span.work.read) += bytes;
  constexpr size_t kEnough = 300;  // of a line that people read
  if (span.operands.size() > kEnough) return;
  if (!span.operands.empty()) span.operands += ", ";
  if (written) span.operands += "-> ";
  span.operands += std::string(name_of(dtype)) + " " + to_string(shape);
}

void note_flops(double flops) {
  if (!profiling() || t_context.recorder->open.empty()) return;
  Profile::Recorder& r = *t_context.recorder;
  r.span().work.flops += flops;
  r.segment_for_operand().work.flops += flops;
}

void note_work(const Work& work) {
  if (profiling()) t_context.recorder->next = work;
}

void begin_launch(int stream) {
  if (!profiling()) return;
  Profile::Recorder& r = *t_context.recorder;
  const int mark = r.on_device() ? r.marks->record(stream) : -1;
  r.begun.push_back({stream, mark, r.now()});
}

bool in_launch() {
  if (!profiling()) return false;
  const Profile::Recorder& r = *t_context.recorder;
  return r.begun.size() > (r.open.empty() ? 0 : r.open.back().depth);
}

void end_launch(std::string name, const Work& work) {
  if (!profiling() || t_context.recorder->begun.empty()) return;
  Profile::Recorder& r = *t_context.recorder;
  const Profile::Recorder::Begun begun = r.begun.back();
  r.begun.pop_back();
  ProfileLaunch launch{.name = std::move(name), .stream = begun.stream, .begin = begun.begin};
  launch.end = r.now();
  const bool moves_bytes = work.known() && work.flops == 0;  // a copy or a fill
  launch.work = work.known() ? work : std::exchange(r.next, {});
  if (!r.open.empty()) {
    launch.span = r.open.back().span;
    if (begun.stream == 0 && !moves_bytes)
      r.open.back().segment.launches.push_back(r.record.launches.size());
  }
  r.launch_marks.emplace_back(begun.mark, r.on_device() ? r.marks->record(begun.stream) : -1);
  r.record.launches.push_back(std::move(launch));
}

ProfileScope::ProfileScope(const char* name) {
  enter_span(name);
}
ProfileScope::~ProfileScope() {
  leave_span();
}

}  // namespace sing::backend
