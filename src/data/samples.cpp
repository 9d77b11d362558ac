#include "sing/data/samples.h"

#include <fmt/format.h>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/tensor/safetensors.h"

namespace sing::data {
namespace {

std::string exported_name(const Field& field) {
  if (field.name == "inputs") return field.shape.rank() == 3 ? "image" : "input";
  if (field.name == "targets") return "target";
  return field.name;
}

}  // namespace

void write_samples(const Dataset& dataset, int64_t first, int64_t count, const std::string& path) {
  if (first < 0 || count < 1 || first > dataset.size() - count)
    throw ConfigError(fmt::format("data set {} has {} samples; {}..{} were asked for",
                                  dataset.name(), dataset.size(), first, first + count - 1),
                      {}, {}, "E0267");
  Batch batch = allocate_batch(dataset, count);
  BatchWriter writer(dataset, batch);
  parallel_ranges(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) writer.read({first + i, 0, 0}, i);
  });
  SafetensorsWriter file;
  for (const Field& field : dataset.fields()) file.add(exported_name(field), batch.at(field.name));
  for (const NamedTensor& constant : dataset.constants()) file.add(constant.name, constant.tensor);
  file.set_metadata("data_set", dataset.name());
  file.set_metadata("fingerprint", dataset.fingerprint());
  file.set_metadata("first", std::to_string(first));
  file.save(path);
}

}  // namespace sing::data
