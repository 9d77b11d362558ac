// Pictures painted on the device are those of the host, byte for byte.
#include "data/rde/device.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/rde.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/data/rde_dataset.h"

namespace sing::test {
namespace {

using data::rde::Variant;
constexpr Device kCuda{DeviceType::cuda, 0};

void expect_same_bytes(const Tensor& got, const Tensor& wanted, const std::string& where) {
  const Tensor host = got.to(Device{});
  ASSERT_EQ(host.shape(), wanted.shape()) << where;
  ASSERT_EQ(host.dtype(), wanted.dtype()) << where;
  EXPECT_EQ(std::memcmp(host.raw(), wanted.raw(),
                        static_cast<size_t>(wanted.numel()) * size_of(wanted.dtype())),
            0)
      << where;
}

void compare(const data::RdeOptions& options, const std::vector<int64_t>& numbers,
             const std::string& where) {
  const data::rde::Options scene_options = data::scene_options(options);
  const auto scenes = data::rde::generate_range(scene_options, options.seed, data::Split::train, 0,
                                                options.train_size);
  const auto dataset = data::rde_dataset(options, data::Split::train);
  const auto count = static_cast<int64_t>(numbers.size());
  Batch wanted = data::allocate_batch(*dataset, count);
  const data::BatchWriter writer(*dataset, wanted);
  for (int64_t row = 0; row < count; ++row)
    writer.read({numbers[static_cast<size_t>(row)], 1, 0}, row);
  const auto painter = data::rde::device_painter(kCuda, scenes, scene_options, options.variant,
                                                 options.normalize, true);
  ASSERT_NE(painter, nullptr);
  Batch got = painter->allocate(count);
  painter->make(Tensor::from(numbers, {count}).to(kCuda), got);
  for (const char* name : {"inputs", "targets", "ids", "levels", "boxes"})
    expect_same_bytes(got.at(name), wanted.at(name), where + ", " + name);
}

TEST(CudaRde, BytesOfTheHost) {
  for (const std::string& preset : data::rde::preset_names())
    for (const Variant variant : {Variant::outline, Variant::filled})
      for (const bool normalize : {false, true}) {
        data::RdeOptions options;
        options.preset = preset;
        options.variant = variant;
        options.normalize = normalize;
        options.train_size = 5;
        compare(
            options,
            preset == "full" ? std::vector<int64_t>{4, 0} : std::vector<int64_t>{4, 0, 3, 3, 1, 2},
            preset + " " + std::string(data::rde::name_of(variant)));
      }
}

TEST(CudaRde, SizesThatAreNoMultipleOfAPack) {
  for (const int size : {21, 22, 23, 65}) {
    data::RdeOptions options;
    options.preset = "quick";
    options.size = size;
    options.side_max = 12;
    options.train_size = 3;
    compare(options, {2, 1, 0}, std::to_string(size));
  }
}

TEST(CudaRde, ANumberOutsideTheDataSetIsAnErrorAndNotARead) {
  data::RdeOptions options;
  options.preset = "quick";
  options.train_size = 3;
  const auto dataset = data::rde_dataset(options, data::Split::train);
  const auto painter = dataset->batch_maker(kCuda);
  ASSERT_NE(painter, nullptr);
  Batch batch = painter->allocate(2);
  painter->make(Tensor::from(std::vector<int64_t>{0, 3}, {2}).to(kCuda), batch);
  try {
    batch.inputs().to(Device{});
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), "E0305");
  }
}

TEST(CudaRde, OffMeansTheHost) {
  data::RdeOptions options;
  options.preset = "quick";
  options.train_size = 1;
  options.on_device = data::OnDevice::off;
  EXPECT_EQ(data::rde_dataset(options, data::Split::train)->batch_maker(kCuda), nullptr);
  options.on_device = data::OnDevice::automatic;
  EXPECT_EQ(data::rde_dataset(options, data::Split::train)->batch_maker(Device{}), nullptr);
}

}  // namespace
}  // namespace sing::test
