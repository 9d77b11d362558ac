#include "sing/ops/recompute.h"

#include "sing/autograd/autocast.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"

namespace sing::ops {
namespace {

thread_local bool t_recomputing = false;

struct RecomputingGuard {
  RecomputingGuard() : before(t_recomputing) { t_recomputing = true; }
  ~RecomputingGuard() { t_recomputing = before; }
  RecomputingGuard(const RecomputingGuard&) = delete;
  RecomputingGuard& operator=(const RecomputingGuard&) = delete;
  bool before;
};

}  // namespace

bool recomputing() {
  return t_recomputing;
}

Tensor recompute(const RecomputeFn& fn, std::vector<Tensor> inputs) {
  const backend::OpScope scope("recompute");
  if (!autograd::grad_enabled()) return fn(inputs);
  Tensor out;
  {
    const autograd::NoGradGuard no_grad;
    out = fn(inputs).detach();
  }
  // Leaves that fn captures are not known here; this one makes sure that the node is recorded.
  std::vector<Tensor> recorded = inputs;
  recorded.push_back(Tensor::scalar(0).set_requires_grad());
  std::vector<autograd::Saved> saved(inputs.begin(), inputs.end());
  return autograd::record("recompute", recorded, out,
                          [fn, saved = std::move(saved), cast = autocast::dtype()](
                              const Tensor& grad, const autograd::Needs& needs) {
                            const autograd::EnableGradGuard recording;
                            const autocast::Guard autocast(cast);
                            const RecomputingGuard second_run;
                            std::vector<Tensor> again(saved.size());
                            for (size_t i = 0; i < saved.size(); ++i) {
                              if (!saved[i]) continue;
                              again[i] = saved[i]->detach();
                              if (needs[i]) again[i].set_requires_grad();
                            }
                            const Tensor y = fn(again);
                            if (y.requires_grad()) y.backward(grad);
                            autograd::GradList result(saved.size() + 1);
                            for (size_t i = 0; i < saved.size(); ++i)
                              if (needs[i]) result[i] = again[i].grad();
                            return result;
                          });
}

}  // namespace sing::ops
