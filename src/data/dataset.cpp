#include "sing/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>

#include "data/staging.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"

namespace sing::data {
namespace {

constexpr size_t kMaxFields = 16;

std::string place(const Dataset& dataset, int64_t index) {
  return fmt::format("data set {}, sample {}", dataset.name(), index);
}

}  // namespace

Dataset::~Dataset() = default;
BatchMaker::~BatchMaker() = default;

std::unique_ptr<BatchMaker> Dataset::batch_maker(Device) const {
  return nullptr;
}

const Field& Dataset::field(std::string_view name) const {
  std::string known;
  for (const Field& field : fields()) {
    if (field.name == name) return field;
    known += (known.empty() ? "" : ", ") + field.name;
  }
  throw ConfigError(fmt::format("data set {} has no field '{}'", this->name(), name), {},
                    "its fields are " + known, "E0264");
}

void check_labels(std::span<const int64_t> labels, int64_t classes, const std::string& where) {
  const auto bad = std::find_if(labels.begin(), labels.end(),
                                [classes](int64_t label) { return label < 0 || label >= classes; });
  if (bad == labels.end()) return;
  const auto [low, high] = std::minmax_element(labels.begin(), labels.end());
  std::string hint = fmt::format("labels here run {}..{}", *low, *high);
  if (*low >= 1 && *high == classes)
    hint += ": they seem to count from 1; shift them by -1";
  else
    hint += fmt::format("; {} classes were announced", classes);
  throw DataError(fmt::format("label {} is outside 0..{}", *bad, classes - 1), where, hint,
                  "E0305");
}

Tensor staging(const Shape& shape, DType dtype, Device device) {
  if (device.type == DeviceType::cpu) return Tensor::zeros(shape, {.dtype = dtype});
  backend::DeviceRuntime& runtime = backend::runtime(device);
  const auto bytes = static_cast<size_t>(checked_bytes(shape.numel(), dtype));
  const std::shared_ptr<void> memory(runtime.allocate_host(bytes),
                                     [&runtime](void* p) { runtime.release_host(p); });
  std::memset(memory.get(), 0, bytes);
  return Tensor::wrap(memory.get(), shape, dtype, memory);
}

Batch allocate_batch(const Dataset& dataset, int64_t count, Device device) {
  Batch batch;
  for (const Field& field : dataset.fields()) {
    std::array<int64_t, kMaxRank> dims{count};
    if (field.shape.rank() >= kMaxRank)
      throw ShapeError(fmt::format("data set {}: field '{}' has more than {} dimensions",
                                   dataset.name(), field.name, kMaxRank - 1));
    std::copy(field.shape.begin(), field.shape.end(), dims.begin() + 1);
    const size_t rank = static_cast<size_t>(field.shape.rank()) + 1;
    batch.set(field.name, staging(Shape(std::span(dims.data(), rank)), field.dtype, device));
  }
  for (const NamedTensor& constant : dataset.constants()) batch.set(constant.name, constant.tensor);
  return batch;
}

BatchWriter::BatchWriter(const Dataset& dataset, Batch& batch) : dataset_(dataset) {
  const std::vector<Field>& fields = dataset.fields();
  SING_ASSERT(fields.size() <= kMaxFields);
  for (const Field& field : fields) {
    Tensor tensor = batch.at(field.name);
    SING_ASSERT(tensor.is_contiguous() && tensor.dtype() == field.dtype);
    columns_.push_back({static_cast<std::byte*>(tensor.mutable_raw()),
                        checked_bytes(field.shape.numel(), field.dtype)});
  }
}

void BatchWriter::read(const SampleKey& key, int64_t row) const {
  const std::vector<Field>& fields = dataset_.fields();
  std::array<void*, kMaxFields> out{};
  for (size_t i = 0; i < fields.size(); ++i) out[i] = columns_[i].data + row * columns_[i].bytes;
  try {
    dataset_.get(key, std::span<void* const>(out.data(), fields.size()));
    for (size_t i = 0; i < fields.size(); ++i)
      if (fields[i].classes > 0)
        check_labels(
            {static_cast<const int64_t*>(out[i]), static_cast<size_t>(fields[i].shape.numel())},
            fields[i].classes, {});
  } catch (const DataError& e) {
    const std::string where = e.where().empty() ? "" : ", " + e.where();
    throw DataError(e.what(), place(dataset_, key.index) + where, e.hint(), e.code());
  } catch (const Error& e) {
    throw Error(e.code(), e.what(), place(dataset_, key.index), e.hint());
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError("out of host memory while reading data", place(dataset_, key.index));
  } catch (const std::exception& e) {
    throw InternalError(e.what(), place(dataset_, key.index));
  }
}

}  // namespace sing::data
