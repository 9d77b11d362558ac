#include <cstdio>

#include "apps/config_options.h"
#include "apps/verb.h"
#include "sing/core/error.h"
#include "sing/data/picture.h"
#include "sing/data/samples.h"
#include "sing/data/source.h"
#include "sing/train/config.h"

namespace sing::apps {
namespace {

/// Only `data:` of a config matters here; -c may be left out: `sing data preview data.name=rde`.
struct DataConfig {
  config::Component<data::dataset_registry> data{"rde"};
  static void describe(config::Fields<DataConfig>& f) {
    f("data", &DataConfig::data, "the samples");
  }
};

std::unique_ptr<data::Source> source(const Arguments& arguments) {
  if (arguments.has("config")) return load_config(load_request(arguments)).config.data.make();
  config::LoadRequest request;
  request.overrides = arguments.overrides;
  return config::load<DataConfig>(request).config.data.make();
}

int generate(const Arguments& arguments, const data::Dataset& dataset) {
  const std::string out = arguments.get("output");
  if (out.empty()) throw ConfigError("data generate wants -o FILE.safetensors", {}, {}, "E0276");
  const int64_t first = arguments.integer("first", 0, int64_t{1} << 62).value_or(0);
  const int64_t count =
      arguments.integer("count", 1, int64_t{1} << 62).value_or(dataset.size() - first);
  data::write_samples(dataset, first, count, out);
  std::fprintf(stderr, "%s: %lld samples of %s\n", out.c_str(), static_cast<long long>(count),
               dataset.name().c_str());
  return 0;
}

int preview(const Arguments& arguments, const data::Dataset& dataset) {
  const std::string out = arguments.get("output", "preview.png");
  const int64_t first = arguments.integer("first", 0, int64_t{1} << 62).value_or(0);
  const int64_t count = arguments.integer("count", 1, 4096).value_or(16);
  data::preview_png(dataset, first, count, out);
  std::fprintf(stderr, "%s: %lld samples of %s\n", out.c_str(), static_cast<long long>(count),
               dataset.name().c_str());
  return 0;
}

int info(const data::Source& source) {
  std::printf("%s\n", source.summary().c_str());
  for (const data::Split split : {data::Split::train, data::Split::val, data::Split::test})
    std::printf("  %-6s %lld samples\n", std::string(data::name_of(split)).c_str(),
                static_cast<long long>(source.size(split)));
  for (const data::Field& field : source.fields())
    std::printf("  %-10s %s %s\n", field.name.c_str(), std::string(name_of(field.dtype)).c_str(),
                to_string(field.shape).c_str());
  return 0;
}

/// Reads every sample of a split once: what training would meet, damage included.
int verify(const data::Dataset& dataset) {
  Batch batch = data::allocate_batch(dataset, 1);
  const data::BatchWriter writer(dataset, batch);
  for (int64_t i = 0; i < dataset.size(); ++i) writer.read({.index = i}, 0);
  std::printf("ok: %lld samples of %s, %s\n", static_cast<long long>(dataset.size()),
              dataset.name().c_str(), dataset.fingerprint().c_str());
  return 0;
}

int run(const Arguments& arguments) {
  if (arguments.words.size() != 1)
    throw ConfigError("data wants one of: generate, preview, info, verify", {},
                      "sing data --help shows how", "E0273");
  const std::string& what = arguments.words.front();
  const std::unique_ptr<data::Source> from = source(arguments);
  if (what == "info") return info(*from);
  const auto dataset = from->open(data::split_from_name(arguments.get("split", "train")));
  if (what == "generate") return generate(arguments, *dataset);
  if (what == "preview") return preview(arguments, *dataset);
  if (what == "verify") return verify(*dataset);
  throw ConfigError("unknown word '" + what + "': data wants generate, preview, info or verify", {},
                    {}, "E0273");
}

const bool registered = register_verb({
    .name = "data",
    .usage = "generate|preview|info|verify [-c FILE] [data.key=value ...]",
    .sentence = "Writes, draws, describes or checks the samples of a data set.",
    .examples = {"sing data preview -c configs/quickstart.yaml -o preview.png",
                 "sing data generate -c configs/quickstart.yaml --count 1024 -o train.safetensors",
                 "sing data info data.name=rde data.preset=full"},
    .options =
        with(config_options(),
             {{.name = "output",
               .letter = 'o',
               .argument = "FILE",
               .group = "Run",
               .help = "where it goes"},
              {.name = "split",
               .argument = "NAME",
               .group = "Run",
               .help = "train, val or test",
               .default_text = "train"},
              {.name = "first",
               .argument = "N",
               .group = "Run",
               .help = "number of the first sample",
               .default_text = "0"},
              {.name = "count", .argument = "N", .group = "Run", .help = "how many samples"}}),
    .run = run,
});

}  // namespace
}  // namespace sing::apps
