#include <cstdio>

#include "apps/config_options.h"
#include "apps/trained.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/core/json.h"
#include "sing/train/evaluation.h"
#include "sing/train/memory_plan.h"
#include "sing/train/signals.h"

namespace sing::apps {
namespace {

int run(const Arguments& arguments) {
  const train::StopSignals signals;
  if (arguments.words.size() > 1 || arguments.words.empty() != arguments.has("config"))
    throw ConfigError("eval wants one run or checkpoint, or -c FILE", {},
                      "for instance: sing-eval runs/quickstart/latest", "E0273");
  const std::string word = arguments.words.empty() ? "" : arguments.words.front();
  Trained trained = load_trained(arguments, word);
  train::Experiment& experiment = *trained.experiment;
  const train::EvalOptions& options = experiment.config().eval;
  const std::string split = arguments.get("split", options.split);

  train::EvalRequest request(experiment.batches());
  request.dataset = experiment.source().open(data::split_from_name(split));
  if (options.batch_size) request.batch_size = *options.batch_size;
  request.precision = experiment.precision();
  if (request.precision == train::Precision::bf16) experiment.model().set_precision(DType::bf16);
  request.limit = arguments.integer("limit", 1, int64_t{1} << 62).value_or(0);
  request.interrupted = [] { return train::stop_signal() != 0; };
  train::Console console(console_options(arguments));
  request.progress = [&](int64_t done, int64_t total) { console.evaluating(done, total); };
  train::EvalResult result;
  try {
    result = train::evaluate(experiment.model(), experiment.measures(), experiment.measure_names(),
                             request);
  } catch (const OutOfMemoryError& error) {
    console.finish();
    throw error.with_hint(train::what_fits_in_evaluation(experiment));
  }
  console.finish();
  if (!result.complete) return 128 + train::stop_signal();

  if (arguments.has("json")) {
    JsonValue values;
    for (const train::EvalValue& value : result.values)
      values.set("eval/" + split + "/" + value.metric, value.value);
    JsonValue object = JsonValue::object(
        {{"weights", trained.origin}, {"split", split}, {"samples", result.samples}});
    if (trained.step >= 0) object.set("step", trained.step);
    object.set("averaged", trained.averaged);
    object.set("metrics", values);
    std::printf("%s\n", to_json(object).c_str());
    return 0;
  }
  std::printf("%s%s\n%s, %lld samples\n", trained.origin.c_str(),
              trained.averaged ? ", averaged weights" : "", split.c_str(),
              static_cast<long long>(result.samples));
  for (const train::EvalValue& value : result.values) {
    if (value.traits.share)
      std::printf("  %-20s %.2f %%\n", value.metric.c_str(), 100 * value.value);
    else
      std::printf("  %-20s %.6g\n", value.metric.c_str(), value.value);
  }
  return 0;
}

const bool registered = register_verb({
    .name = "eval",
    .usage = "RUN|CKPT [key=value ...]   or   -c FILE model.init_from=WEIGHTS",
    .sentence = "Measures the metrics of trained weights on a split.",
    .examples = {"sing-eval runs/quickstart/latest", "sing-eval runs/quickstart/latest@best",
                 "sing-eval -c configs/rde_vit_s.yaml model.init_from=weights.safetensors"},
    .options = with(
        config_options(),
        {{.name = "split",
          .argument = "NAME",
          .group = "Run",
          .help = "train, val or test",
          .default_text = "eval.split"},
         {.name = "limit", .argument = "N", .group = "Run", .help = "the first N samples only"},
         weights_option()}),
    .run = run,
});

}  // namespace
}  // namespace sing::apps
