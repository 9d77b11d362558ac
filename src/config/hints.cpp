#include "config/hints.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sing/core/suggest.h"

namespace sing::config::detail {
namespace {

// Words of other programs and the key that means it here. A target with a dot is a path from the
// root; the first entry whose target is a key of the map at hand, or a path, is taken.
constexpr std::pair<std::string_view, std::string_view> kForeignWords[] = {
    {"optim", "optimizer"},
    {"opt", "optimizer"},
    {"solver", "optimizer"},
    {"base", "extends"},
    {"_base_", "extends"},
    {"defaults", "extends"},
    {"inherit", "extends"},
    {"include", "extends"},
    {"learning_rate", "lr"},
    {"learningrate", "lr"},
    {"rate", "lr"},
    {"base_lr", "lr"},
    {"wd", "weight_decay"},
    {"decay", "weight_decay"},
    {"l2", "weight_decay"},
    {"beta", "betas"},
    {"beta1", "betas"},
    {"beta2", "betas"},
    {"epsilon", "eps"},
    {"epochs", "duration"},
    {"num_epochs", "duration"},
    {"max_epochs", "duration"},
    {"steps", "duration"},
    {"max_steps", "duration"},
    {"iterations", "duration"},
    {"epochs", "train.duration"},
    {"num_epochs", "train.duration"},
    {"max_epochs", "train.duration"},
    {"steps", "train.duration"},
    {"max_steps", "train.duration"},
    {"iterations", "train.duration"},
    {"batch", "batch_size"},
    {"bs", "batch_size"},
    {"batchsize", "batch_size"},
    {"batch", "data.batch_size"},
    {"batch_size", "data.batch_size"},
    {"bs", "data.batch_size"},
    {"dataset", "data"},
    {"datamodule", "data"},
    {"dataset", "name"},
    {"net", "model"},
    {"network", "model"},
    {"arch", "model"},
    {"architecture", "model"},
    {"arch", "name"},
    {"type", "name"},
    {"_target_", "name"},
    {"class", "name"},
    {"kind", "name"},
    {"criterion", "loss"},
    {"objective", "loss"},
    {"lr", "optimizer.host.lr"},
    {"learning_rate", "optimizer.host.lr"},
    {"weight_decay", "optimizer.host.weight_decay"},
    {"wd", "optimizer.host.weight_decay"},
    {"scheduler", "schedule"},
    {"lr_scheduler", "schedule"},
    {"scheduler", "optimizer.schedule"},
    {"lr_scheduler", "optimizer.schedule"},
    {"param_groups", "groups"},
    {"param_groups", "optimizer.groups"},
    {"warmup_epochs", "warmup"},
    {"warmup_steps", "warmup"},
    {"trainer", "train"},
    {"training", "train"},
    {"fp16", "precision"},
    {"bf16", "precision"},
    {"amp", "precision"},
    {"dtype", "precision"},
    {"amp", "train.precision"},
    {"precision", "train.precision"},
    {"gpus", "device"},
    {"gpu", "device"},
    {"device", "train.device"},
    {"grad_accum", "accumulate"},
    {"accumulate_grad_batches", "accumulate"},
    {"gradient_accumulation_steps", "accumulate"},
    {"random_seed", "seed"},
    {"manual_seed", "seed"},
    {"evaluation", "eval"},
    {"val", "eval"},
    {"validation", "eval"},
    {"ckpt", "checkpoint"},
    {"checkpoints", "checkpoint"},
    {"logger", "log"},
    {"logging", "log"},
    {"experiment", "name"},
    {"run_name", "name"},
    {"pretrained", "init_from"},
    {"pretrained", "model.init_from"},
    {"slow_steps", "every"},
    {"k", "every"},
};

std::string lower_words(std::string_view word) {
  std::string result;
  for (const char c : word)
    result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c == '-' ? '_' : c;
  return result;
}

// How likely a misspelling came about in this way, 0 first, to decide between equally near names:
// swapped letters, then a letter more or fewer, then a wrong one.
int unlikeliness(std::string_view word, std::string_view name) {
  std::string a(word), b(name);
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  if (a == b) return 0;
  const bool subset = std::includes(b.begin(), b.end(), a.begin(), a.end()) ||
                      std::includes(a.begin(), a.end(), b.begin(), b.end());
  return subset ? 1 : 2;
}

}  // namespace

std::string nearest_missing(std::string_view word, const std::vector<std::string>& names,
                            const Value& taken) {
  // nearest_name gives the earlier of equally near candidates: put the likelier ones first.
  std::vector<std::string> ordered = names;
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto& a, const auto& b) {
    const auto rank = [&](const std::string& name) {
      return std::pair(taken.find(name) != nullptr, unlikeliness(word, name));
    };
    return rank(a) < rank(b);
  });
  return nearest_name(word, ordered);
}

KeyHint hint_for_key(std::string_view word, const StructSchema& schema, const Value& map,
                     std::string_view also_known) {
  const auto known = [&](std::string_view key) {
    return schema.find(key) != nullptr || (!also_known.empty() && key == also_known);
  };
  const auto did_you_mean = [](std::string key) {
    return KeyHint{key, "did you mean '" + key + "'?"};
  };
  const std::string lower = lower_words(word);
  for (const auto& [tried, use] : schema.words)
    if (lower == tried || word == tried)
      return known(use) ? did_you_mean(use) : KeyHint{{}, "use '" + use + "'"};
  if (known(lower)) return did_you_mean(lower);
  for (const auto& [tried, use] : kForeignWords)
    if (lower == tried && known(use)) return did_you_mean(std::string(use));
  std::vector<std::string> names = schema.keys();
  if (!also_known.empty()) names.emplace_back(also_known);
  std::string near = nearest_missing(lower, names, map);
  // A word of another program, unless it is one letter away from a key here.
  if (near.empty() || edit_distance(lower, near) > 1)
    for (const auto& [tried, use] : kForeignWords)
      if (lower == tried && use.find('.') != std::string_view::npos)
        return {{}, "use '" + std::string(use) + "'"};
  return near.empty() ? KeyHint{} : did_you_mean(std::move(near));
}

}  // namespace sing::config::detail
