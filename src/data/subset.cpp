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
  std::unique_ptr<BatchMaker> batch_maker(Device device) const override {
    return dataset_->batch_maker(device);
  }

 private:
  std::shared_ptr<const Dataset> dataset_;
  int64_t count_;
};

class Numbers : public Dataset {
 public:
  explicit Numbers(std::shared_ptr<const Dataset> dataset) : dataset_(std::move(dataset)) {}

  std::string name() const override { return dataset_->name(); }
  int64_t size() const override { return dataset_->size(); }
  const std::vector<Field>& fields() const override { return none_; }
  void get(const SampleKey&, std::span<void* const>) const override {}
  std::vector<NamedTensor> constants() const override { return dataset_->constants(); }
  std::string fingerprint() const override { return dataset_->fingerprint(); }
  std::unique_ptr<BatchMaker> batch_maker(Device device) const override {
    return dataset_->batch_maker(device);
  }

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::vector<Field> none_;
};

}  // namespace

std::shared_ptr<const Dataset> numbers_of(std::shared_ptr<const Dataset> dataset) {
  return std::make_shared<Numbers>(std::move(dataset));
}

std::shared_ptr<const Dataset> first_samples(std::shared_ptr<const Dataset> dataset,
                                             int64_t count) {
  SING_ASSERT(count >= 1);
  return std::make_shared<FirstSamples>(std::move(dataset), count);
}

}  // namespace sing::data
