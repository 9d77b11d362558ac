// What a device can do at best: copy, bf16 product, f32 product.
//   bench_ceilings [--device cuda] [--seconds 0] [--json FILE]
// --seconds 0 is a rehearsal with tiny sizes.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>

#include "benchmarks/support/device.h"
#include "sing/core/json.h"

namespace {

using namespace sing;

int run(int argc, char** argv) {
  std::string name = "cuda", file;
  bool tiny = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i], value = argv[i + 1];
    if (word == "--device")
      name = value;
    else if (word == "--seconds")
      tiny = std::stod(value) == 0;
    else if (word == "--json")
      file = value;
    else
      throw std::invalid_argument("unknown flag " + word);
  }
  const Device device = bench::device_named(name);
  if (device.type == DeviceType::cpu)
    throw std::invalid_argument("bench_ops and bench_optimizer measure the processor's ceilings");
  const bench::DeviceCeilings c = bench::measure_ceilings(device, tiny);
  const std::string text = fmt::format(
      "{{\"device\": {}, \"copy_gb_per_s\": {:.1f}, \"bf16_tflops\": {:.1f}, "
      "\"f32_tflops\": {:.2f}, \"rehearsal\": {}}}\n",
      json_quoted(backend::runtime(device).description()), c.copy * 1e-9, c.bf16 * 1e-12,
      c.f32 * 1e-12, tiny);
  fmt::print("{}", text);
  if (!file.empty()) std::ofstream(file) << text;
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(argc, argv);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_ceilings: %s\n", error.what());
  return 2;
}
