#include "sing/data/samples.h"

#include <fmt/format.h>

#include <algorithm>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/tensor/safetensors.h"

namespace sing::data {
namespace {

constexpr int64_t kChunk = 256;  // samples in memory

std::string exported_name(const Field& field) {
  if (field.name == "inputs") return field.shape.rank() == 3 ? "image" : "input";
  if (field.name == "targets") return "target";
  return field.name;
}

/// One field of all samples, a chunk at a time.
void write_field(const Dataset& dataset, const Field& field, int64_t first, int64_t count,
                 FileWriter& writer) {
  Batch batch = allocate_batch(dataset, std::min(count, kChunk));
  const BatchWriter rows(dataset, batch);
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t n = std::min(kChunk, count - begin);
    parallel_for(n, [&](int64_t i) { rows.read({first + begin + i, 0, 0}, i); });
    const Tensor part = batch.at(field.name).narrow(0, 0, n);
    const int64_t bytes = checked_bytes(part.numel(), part.dtype());
    writer.write({static_cast<const std::byte*>(part.raw()), static_cast<size_t>(bytes)});
  }
}

}  // namespace

void write_samples(const Dataset& dataset, int64_t first, int64_t count, const std::string& path) {
  if (first < 0 || count < 1 || first > dataset.size() - count)
    throw ConfigError(fmt::format("data set {} has {} samples; {}..{} were asked for",
                                  dataset.name(), dataset.size(), first, first + count - 1),
                      {}, {}, "E0267");
  SafetensorsWriter file;
  for (const Field& field : dataset.fields()) {
    std::vector<int64_t> shape{count};
    shape.insert(shape.end(), field.shape.begin(), field.shape.end());
    file.add(exported_name(field), field.dtype, std::move(shape),
             [&dataset, &field, first, count](FileWriter& writer) {
               write_field(dataset, field, first, count, writer);
             });
  }
  for (const NamedTensor& constant : dataset.constants()) file.add(constant.name, constant.tensor);
  file.set_metadata("data_set", dataset.name());
  file.set_metadata("fingerprint", dataset.fingerprint());
  file.set_metadata("first", std::to_string(first));
  file.save(path);
}

}  // namespace sing::data
