#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "sing/backend/profile.h"
#include "sing/train/console.h"
#include "sing/train/events.h"
#include "train/profile/report.h"

namespace sing::train {

/// Profiles the updates behind `start` others, `count` of them, and writes a trace and a table into
/// `folder`. Everything else of the run is as without it.
class SING_API ProfileCallback : public Callback {
 public:
  ProfileCallback(int64_t start, int64_t count, std::string folder, Console& console)
      : start_(start), count_(count), folder_(std::move(folder)), console_(console) {}
  void on_event(Event event, Trainer& trainer) override;
  bool wants_numbers(const Trainer&) const override { return false; }
  bool within_step() const override { return false; }

 private:
  void begin(Trainer& trainer);
  void end(Trainer& trainer);

  int64_t start_, count_;
  std::string folder_;
  Console& console_;
  ProfileHead head_;
  std::unique_ptr<backend::Profile> profile_;
};

}  // namespace sing::train
