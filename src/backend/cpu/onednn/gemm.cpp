// Matrix products of bf16 operands by oneDNN, which knows AMX tiles and AVX512_BF16. B is brought
// into the primitive's own format once per call; rows of C are cut into chunks of fixed size. A
// fused activation is applied to f32 sums by our own code, as in every other product.
#include <algorithm>

#include "backend/cpu/onednn/engine.h"
#include "backend/cpu/simd/gemm_finish.h"
#include "backend/plan_cache.h"
#include "kernels/gemm.h"
#include "sing/core/thread_pool.h"

#if defined(__x86_64__)

namespace sing::kernels {
namespace {

using backend::PlanCache;
using backend::onednn::engine;
using backend::onednn::OneThread;
using backend::onednn::stream;
using backend::onednn::Workspace;
using dnnl::memory;

constexpr int64_t kChunkRows = 128;
constexpr int64_t kWorthwhile = int64_t{1} << 18;  // multiply-adds that pay for the call

/// One primitive for a number of rows; without one oneDNN does not serve the problem.
struct Plan {
  dnnl::matmul primitive;
  memory::desc a, b, bias, c, scratchpad, user_b;
  bool served = false;
};

/// Rows of C from which chunk, and whether the sums stay wide for finish_sums.
struct Task {
  const GemmArgs& g;
  bool wide;
  DType c_dtype() const { return wide ? DType::f32 : g.c_dtype; }
  int64_t c_row() const { return wide ? g.n : g.c_row; }
  bool sum() const { return !wide && g.accumulate; }
  bool bias() const { return !wide && g.bias != nullptr; }
};

std::shared_ptr<const Plan> make_plan(const Task& t, int64_t rows) {
  const GemmArgs& g = t.g;
  const OneThread one;
  const memory::data_type in = backend::onednn::data_type(g.dtype);
  const memory::data_type out = backend::onednn::data_type(t.c_dtype());
  auto plan = std::make_shared<Plan>();
  plan->a = memory::desc({rows, g.k}, in, memory::dims{g.a_row, g.a_col});
  plan->user_b = memory::desc({g.k, g.n}, in, memory::dims{g.b_row, g.b_col});
  plan->c = memory::desc({rows, g.n}, out, memory::dims{t.c_row(), 1});
  if (t.bias()) plan->bias = memory::desc({1, g.n}, in, memory::dims{g.n, 1});
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (t.sum()) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attr.set_post_ops(after);
  }
  const memory::desc any_b({g.k, g.n}, in, memory::format_tag::any);
  try {
    const dnnl::matmul::desc problem = t.bias()
                                           ? dnnl::matmul::desc(plan->a, any_b, plan->bias, plan->c)
                                           : dnnl::matmul::desc(plan->a, any_b, plan->c);
    const dnnl::matmul::primitive_desc chosen(problem, attr, engine());
    plan->b = chosen.weights_desc();
    plan->scratchpad = chosen.scratchpad_desc();
    plan->primitive = dnnl::matmul(chosen);
    plan->served = true;
  } catch (const dnnl::error&) {
    plan->served = false;  // remembered: the own kernel takes such problems
  }
  return plan;
}

std::shared_ptr<const Plan> plan_for(const Task& t, int64_t rows) {
  static auto* cache = new PlanCache<Plan>(256);  // outlives everything that may still call
  const GemmArgs& g = t.g;
  const PlanCache<Plan>::Key key{rows,
                                 g.n,
                                 g.k,
                                 g.a_row,
                                 g.a_col,
                                 g.b_row,
                                 g.b_col,
                                 t.c_row(),
                                 static_cast<int64_t>(g.dtype),
                                 static_cast<int64_t>(t.c_dtype()),
                                 t.sum(),
                                 t.bias()};
  return cache->get(key, [&] { return make_plan(t, rows); });
}

char* shifted(const void* base, int64_t elements, DType dtype) {
  return static_cast<char*>(const_cast<void*>(base)) +
         elements * static_cast<int64_t>(size_of(dtype));
}

void run_rows(const Task& t, const Plan& plan, const memory& b, int64_t first, int64_t rows,
              float* wide, void* scratchpad) {
  const GemmArgs& g = t.g;
  void* c =
      t.wide ? static_cast<void*>(wide + first * g.n) : shifted(g.c, first * g.c_row, g.c_dtype);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, memory(plan.a, engine(), shifted(g.a, first * g.a_row, g.dtype))},
      {DNNL_ARG_WEIGHTS, b},
      {DNNL_ARG_DST, memory(plan.c, engine(), c)},
      {DNNL_ARG_SCRATCHPAD, memory(plan.scratchpad, engine(), scratchpad)}};
  if (t.bias())
    arguments.emplace(DNNL_ARG_BIAS, memory(plan.bias, engine(), shifted(g.bias, 0, g.dtype)));
  plan.primitive.execute(stream(), arguments);
  stream().wait();
  if (t.wide)
    avx512::finish_sums(g, wide + first * g.n, g.n, first * g.c_row, 0, rows, g.n, g.accumulate);
}

bool gemm_onednn(const GemmArgs& g) {
  if (g.dtype != DType::bf16 || !backend::onednn::serves(g.dtype) || g.batch_rank != 0)
    return false;
  if ((g.c_dtype != DType::bf16 && g.c_dtype != DType::f32) || g.m * g.n * g.k < kWorthwhile)
    return false;
  if ((g.a_row != 1 && g.a_col != 1) || (g.b_row != 1 && g.b_col != 1)) return false;
  const bool rounds_twice = g.accumulate && g.c_dtype == DType::bf16;
  const Task task{g, g.epilogue != Epilogue::none || g.slope != nullptr || rounds_twice};
  const int64_t rows = std::min(kChunkRows, g.m), chunks = (g.m - 1) / rows + 1;
  const int64_t last_rows = g.m - (chunks - 1) * rows;
  const auto plan = plan_for(task, rows), last = plan_for(task, last_rows);
  if (!plan->served || !last->served || plan->b != last->b) return false;

  const Workspace packed(plan->b.get_size());
  memory b(plan->b, engine(), packed.data());
  {
    const OneThread one;
    memory from(plan->user_b, engine(), shifted(g.b, 0, g.dtype));
    dnnl::reorder(from, b).execute(stream(), from, b);
    stream().wait();
  }
  const size_t each = std::max(plan->scratchpad.get_size(), last->scratchpad.get_size());
  const Workspace scratchpads(each * static_cast<size_t>(chunks));
  const Workspace wide(task.wide ? static_cast<size_t>(g.m * g.n) * sizeof(float) : 0);
  parallel_for(chunks, [&](int64_t chunk) {
    const OneThread one;
    const bool at_end = chunk + 1 == chunks;
    run_rows(task, at_end ? *last : *plan, b, chunk * rows, at_end ? last_rows : rows,
             static_cast<float*>(wide.data()),
             static_cast<char*>(scratchpads.data()) + each * static_cast<size_t>(chunk));
  });
  return true;
}

SING_FAST_KERNEL(gemm, gemm_onednn, 400, "onednn")

}  // namespace
}  // namespace sing::kernels

#endif
