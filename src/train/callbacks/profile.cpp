#include "train/callbacks/profile.h"

#include <fmt/format.h>

#include "sing/backend/runtime.h"
#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/train/trainer.h"

namespace sing::train {

void ProfileCallback::on_event(Event event, Trainer& trainer) {
  const int64_t step = trainer.counters().step;
  if (profile_ &&
      ((event == Event::step_end && step >= start_ + count_) || event == Event::run_end))
    end(trainer);
  const bool between = event == Event::run_begin || event == Event::step_end;
  if (!profile_ && between && step == start_) begin(trainer);
}

void ProfileCallback::begin(Trainer& trainer) {
  const TrainerOptions& options = trainer.options();
  head_.device = options.device;
  head_.description = backend::runtime(options.device).description();
  head_.first_step = start_;
  head_.ceilings = measure_ceilings(
      options.device, options.precision == Precision::bf16 ? DType::bf16 : DType::f32);
  profile_ = std::make_unique<backend::Profile>(options.device);
}

void ProfileCallback::end(Trainer& trainer) {
  const backend::ProfileRecord record = profile_->finish();
  profile_.reset();
  head_.steps = trainer.counters().step - start_;
  try {
    make_directories(posix_file_system(), folder_);
    const std::string base = folder_ + "/" + fmt::format("steps-{:08}-{}", start_, head_.steps);
    write_file_atomically(base + ".json", profile_trace(record, head_));
    write_file_atomically(base + ".txt", profile_table(record, head_));
    console_.event("profile", {{"trace", base + ".json"}, {"table", base + ".txt"}},
                   "profile of " + std::to_string(head_.steps) + " steps: " + base +
                       ".txt; ui.perfetto.dev opens " + base + ".json");
  } catch (const Error& error) {  // worth a warning, never a run
    console_.warning("W0403", std::string("the profile could not be written: ") + error.what());
  }
}

}  // namespace sing::train
