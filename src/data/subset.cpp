#include "sing/data/subset.h"

#include <algorithm>

#include "sing/core/error.h"

namespace sing::data {
namespace {

class FirstSamples : public Dataset {
 public:
  FirstSamples(std::shared_ptr<const Dataset> dataset, int64_t count)
      : dataset_(std::move(dataset)), count_(std::min(count, dataset_->size())) {}

  std::string name() const override { return dataset_->name(); }
  int64_t size() const override { return count_; }
  const std::vector<Field>& fields() const override { return dataset_->fields(); }
  void get(const SampleKey& key, std::span<void* const> out) const override {
    dataset_->get(key, out);
  }
  std::vector<NamedTensor> constants() const override { return dataset_->constants(); }
  std::string fingerprint() const override {
    return dataset_->fingerprint() + " first " + std::to_string(count_);
  }

 private:
  std::shared_ptr<const Dataset> dataset_;
  int64_t count_;
};

}  // namespace

std::shared_ptr<const Dataset> first_samples(std::shared_ptr<const Dataset> dataset,
                                             int64_t count) {
  SING_ASSERT(count >= 1);
  return std::make_shared<FirstSamples>(std::move(dataset), count);
}

}  // namespace sing::data
