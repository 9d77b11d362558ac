#pragma once
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "sing/core/byte_reader.h"
#include "sing/core/crc32c.h"
#include "sing/train/checkpoint_store.h"

namespace sing::test {

/// Small contents that are different for every step.
inline train::CheckpointContents contents_of(int64_t step) {
  const auto tensor = [&](int64_t size, double scale) {
    std::vector<float> values(static_cast<size_t>(size));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(scale * static_cast<double>(step) + static_cast<double>(i));
    return Tensor::from<float>(values, {size});
  };
  train::CheckpointContents contents;
  contents.model = {{"blocks.0.weight", tensor(300, 0.5)},
                    {"blocks.0.bias", tensor(7, 2)},
                    {"head.steps", Tensor::from<int64_t>({step}, {})}};
  contents.optimizer = {{"blocks.0.weight/adamw/m", tensor(300, 3)},
                        {"blocks.0.bias/adamw/m", tensor(7, 5)}};
  contents.state.set("step", step).set("best", 1.0 / static_cast<double>(step + 1));
  return contents;
}

/// Gives a changed manifest a checksum that fits again, as only a program could.
inline void seal_manifest(std::vector<std::byte>& manifest) {
  constexpr size_t kSealed = 22;  // ,"crc32c":"01234567"}\n
  if (manifest.size() < kSealed) return;
  manifest.resize(manifest.size() - kSealed);
  char text[kSealed + 1];
  std::snprintf(text, sizeof text, ",\"crc32c\":\"%08x\"}\n", crc32c(manifest));
  const auto bytes = bytes_of(std::string_view(text, kSealed));
  manifest.insert(manifest.end(), bytes.begin(), bytes.end());
}

inline bool same_tensors(const std::map<std::string, Tensor>& a,
                         const std::map<std::string, Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.dtype() != tensor.dtype() ||
        !(other->second.shape() == tensor.shape()) ||
        std::memcmp(other->second.raw(), tensor.raw(),
                    static_cast<size_t>(tensor.numel()) * size_of(tensor.dtype())) != 0)
      return false;
  }
  return true;
}

inline bool is_of_step(const train::LoadedCheckpoint& loaded, int64_t step) {
  const train::CheckpointContents wanted = contents_of(step);
  return loaded.step == step && same_tensors(loaded.contents.model, wanted.model) &&
         same_tensors(loaded.contents.optimizer, wanted.optimizer) &&
         loaded.contents.state == wanted.state;
}

}  // namespace sing::test
