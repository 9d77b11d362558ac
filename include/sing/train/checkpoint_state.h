#pragma once
#include "sing/core/export.h"
#include "sing/core/json.h"
#include "sing/train/checkpoint_store.h"
#include "sing/train/trainer.h"

namespace sing::train {

/// What a checkpoint of this trainer holds: the model's tensors, the optimizer's (and the partial
/// gradients of an open window), and the counters as "numbers" in the state beside `facts`. The
/// tensors share memory with the live ones.
SING_API CheckpointContents checkpoint_contents(Trainer& trainer, const JsonValue& facts = {});
/// Puts a loaded checkpoint into model, optimizer and trainer. Throws CheckpointError E0410 that
/// lists what does not fit.
SING_API void restore_checkpoint(Trainer& trainer, const CheckpointContents& contents);

}  // namespace sing::train
