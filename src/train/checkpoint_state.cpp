#include "sing/train/checkpoint_state.h"

#include "sing/train/state_io.h"

namespace sing::train {

CheckpointContents checkpoint_contents(Trainer& trainer, const JsonValue& facts) {
  StateWriter model, rest;
  trainer.model().visit_state(model);
  trainer.visit_state(rest);
  CheckpointContents contents;
  contents.model = std::move(model.tensors);
  contents.optimizer = std::move(rest.tensors);
  contents.state = facts;
  contents.state.set("numbers", rest.numbers);
  return contents;
}

void restore_checkpoint(Trainer& trainer, const CheckpointContents& contents) {
  const JsonValue none = JsonValue::object();
  StateReader model(contents.model, none);
  trainer.model().visit_state(model);
  model.finish();
  StateReader rest(contents.optimizer, contents.state.at("numbers"));
  trainer.visit_state(rest);
  rest.finish();
  trainer.restored();
}

}  // namespace sing::train
