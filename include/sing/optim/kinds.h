#pragma once
#include <memory>

#include "sing/config/component.h"

namespace sing::optim {

class GradientTransform;
class HostOptimizer;
class Schedule;
struct RunLength;

/// What `transforms`, `host` and `schedule` of an optimizer block may name. Throws ConfigError when
/// the parts of a schedule are longer than the run.
using TransformKind = config::ComponentKind<std::unique_ptr<GradientTransform>()>;
SING_API TransformKind& transform_kind();
using HostKind = config::ComponentKind<std::unique_ptr<HostOptimizer>()>;
SING_API HostKind& host_kind();
using ScheduleKind = config::ComponentKind<std::unique_ptr<Schedule>(const RunLength&)>;
SING_API ScheduleKind& schedule_kind();

}  // namespace sing::optim
