#include <algorithm>
#include <set>

#include "optim/replay/recording.h"
#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/optim/replay.h"

namespace sing::optim {
namespace {

/// What other readers of the format take too (their header ends at 100 MB).
constexpr SafetensorsLimits kLimits = {.header_bytes = 100'000'000, .tensors = 1'000'000};

struct Interrupted {};

std::vector<int64_t> steps_to_write(const ReplayRequest& request, int64_t recorded) {
  std::set<int64_t> steps(request.steps.begin(), request.steps.end());
  if (steps.empty())
    for (int64_t step = 1; step <= recorded; ++step) steps.insert(steps.end(), step);
  if (*steps.begin() < 1 || *steps.rbegin() > recorded)
    throw ConfigError(
        "step " + std::to_string(*steps.begin() < 1 ? *steps.begin() : *steps.rbegin()) +
            " cannot be written: the recording has the steps 1 to " + std::to_string(recorded),
        {}, "--steps wants numbers such as 1,2,5", "E0272");
  return {steps.begin(), steps.end()};
}

/// The replay behind the values of an output file: goes on to the step that is being written.
class Source {
 public:
  Source(Replay& replay, const Recording& recording, const ReplayRequest& request)
      : replay_(replay),
        recording_(recording),
        request_(request),
        parameters_(replay.parameters()) {}

  void write(FileWriter& writer, int64_t step, bool state, size_t index) {
    if (replay_.steps() < step) state_.clear();
    while (replay_.steps() < step) {
      if (request_.interrupted && request_.interrupted()) throw Interrupted{};
      const int64_t next = replay_.steps() + 1;
      replay_.step([&](const std::string& name) { return recording_.gradient(next, name); });
    }
    if (state && state_.empty()) state_ = replay_.state();
    const Tensor& tensor = (state ? state_ : parameters_).at(index).tensor;
    writer.write({static_cast<const std::byte*>(tensor.raw()),
                  static_cast<size_t>(tensor.numel()) * size_of(tensor.dtype())});
  }

 private:
  Replay& replay_;
  const Recording& recording_;
  const ReplayRequest& request_;
  const std::vector<NamedTensor> parameters_;  // share memory with the replay's
  std::vector<NamedTensor> state_;             // copies
};

}  // namespace

ReplayReport replay_file(const OptimizerConfig& config, const ReplayRequest& request,
                         FileSystem& files) {
  const Recording recording(request.input, files, kLimits);
  const std::vector<int64_t> steps = steps_to_write(request, recording.steps());
  ReplayReport report;
  report.dtype = recording.dtype();
  report.recorded = recording.steps();
  Replay replay(config, recording.parameters(), request.total_steps.value_or(report.recorded));
  const std::vector<NamedTensor> parameters = replay.parameters();
  const std::vector<NamedTensor> state =
      request.state ? replay.state() : std::vector<NamedTensor>();
  report.parameters = static_cast<int64_t>(parameters.size());
  report.written =
      static_cast<int64_t>(steps.size()) * static_cast<int64_t>(parameters.size() + state.size());
  if (report.written > static_cast<int64_t>(kLimits.tensors))
    throw ConfigError("the output would hold " + std::to_string(report.written) +
                          " tensors; a file holds at most " + std::to_string(kLimits.tensors),
                      {}, "ask for some of the steps: --steps 1,10,100", "E0272");

  // Names and shapes of all steps are known before the first is made, so that values can be written
  // in the order in which they come to be, and none has to be kept.
  Source source(replay, recording, request);
  SafetensorsWriter writer(SafetensorsOrder::as_added, kLimits);
  for (const int64_t step : steps) {
    const auto add = [&](const std::vector<NamedTensor>& entries, const char* prefix,
                         bool is_state) {
      for (size_t i = 0; i < entries.size(); ++i) {
        const Shape& shape = entries[i].tensor.shape();
        writer.add(prefix + std::to_string(step) + "/" + entries[i].name, report.dtype,
                   {shape.begin(), shape.end()}, [&source, step, is_state, i](FileWriter& to) {
                     source.write(to, step, is_state, i);
                   });
      }
    };
    add(parameters, "param/", false);
    add(state, "state/", true);
  }
  try {
    writer.save(request.output, files);
    report.complete = true;
  } catch (const Interrupted&) {
  }
  report.made = replay.steps();
  return report;
}

}  // namespace sing::optim
