#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/shape.h"
#include "sing/tensor/batch.h"

namespace sing::data {

/// One named part of every sample; a batch holds it as (B, shape...).
struct Field {
  std::string name;
  Shape shape;  ///< of one sample
  DType dtype = DType::f32;
  /// For i64 labels and token ids: values are 0..classes-1 (checked when a batch is made); 0 for
  /// other fields.
  int64_t classes = 0;
};

/// Which sample, and what its augmentation may depend on besides: nothing else may.
struct SampleKey {
  int64_t index = 0;
  uint64_t seed = 0;   ///< of the run
  uint64_t epoch = 0;  ///< 0 in evaluation
};

/// Makes whole batches in the memory of a device: the bytes that Dataset::get writes. For data sets
/// whose samples follow from their numbers alone, whatever the epoch. One thread.
class SING_API BatchMaker {
 public:
  virtual ~BatchMaker();
  /// Room for `count` samples on the device: what training reads of them.
  virtual Batch allocate(int64_t count) const = 0;
  /// Fills the first rows of `batch`, from allocate() or narrowed, with the samples `index` (B) i64
  /// on the device; queued on its stream 0, which reads `index` then.
  virtual void make(const Tensor& index, Batch& batch) const = 0;
};

/// Samples by number. Const methods are thread-safe.
class SING_API Dataset {
 public:
  virtual ~Dataset();

  /// For messages: "rde (train)".
  virtual std::string name() const = 0;
  virtual int64_t size() const = 0;
  /// The first two are "inputs" and "targets".
  virtual const std::vector<Field>& fields() const = 0;
  /// Writes fields()[i] of the sample to out[i]: dense, row-major, every byte. The same bytes for
  /// the same key on every thread. Throws DataError for a sample that cannot be read.
  virtual void get(const SampleKey& key, std::span<void* const> out) const = 0;
  /// Tensors of rank 0 that go into every batch.
  virtual std::vector<NamedTensor> constants() const { return {}; }
  /// Changes when any sample may have changed; a resume compares it.
  virtual std::string fingerprint() const = 0;
  /// nullptr: the samples are made on the host only. The data set must outlive it.
  virtual std::unique_ptr<BatchMaker> batch_maker(Device device) const;

  /// Throws ConfigError E0264 that lists the fields there are.
  const Field& field(std::string_view name) const;
};

/// Throws DataError E0305 when a label is outside 0..classes-1; `where` names data set and record.
/// The hint depends on the range the labels at hand have.
SING_API void check_labels(std::span<const int64_t> labels, int64_t classes,
                           const std::string& where);

/// Room for `count` samples of a data set, and its constants; in host memory from which `device`
/// copies without a detour.
SING_API Batch allocate_batch(const Dataset& dataset, int64_t count, Device device = {});
/// Reads samples into the rows of a batch from allocate_batch, which it borrows. Different rows may
/// be read by different threads at once.
class SING_API BatchWriter {
 public:
  BatchWriter(const Dataset& dataset, Batch& batch);
  /// Every label is checked. Throws DataError, or the family the data set threw, with the data set
  /// and the sample as its place.
  void read(const SampleKey& key, int64_t row) const;

 private:
  struct Column {
    std::byte* data;
    int64_t bytes;  ///< of one row
  };
  const Dataset& dataset_;
  std::vector<Column> columns_;
};

}  // namespace sing::data
