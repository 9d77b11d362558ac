#pragma once
#include "sing/core/export.h"
#include "sing/core/json.h"

namespace sing::train {

/// What a run runs on: program, compiler, processor, threads, system, time. Stored as env.json.
SING_API JsonValue environment_facts();

}  // namespace sing::train
