#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sing/config/schema.h"

// A root config with the shape of the product's own, for the tests of this room.
namespace sing::config::example {

struct Made {
  std::string name;
  double number = 0;
};

using Kind = ComponentKind<std::unique_ptr<Made>(double scale)>;
Kind& transform_kind();
Kind& host_kind();
Kind& schedule_kind();
Kind& model_kind();

struct SingOptions {
  bool centralize = true;
  bool normalize = true;
  double eps = 1e-8;
  static void describe(Fields<SingOptions>& f);
};

struct ClipOptions {
  double max_norm = 1;
  static void describe(Fields<ClipOptions>& f);
};

struct HostOptions {
  double lr = 1e-3;
  double weight_decay = 0;
  static void describe(Fields<HostOptions>& f);
};

struct SgdOptions : HostOptions {
  double momentum = 0;
  bool nesterov = false;
  static void describe(Fields<SgdOptions>& f);
};

struct AdamOptions : HostOptions {
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  bool decoupled = false;
  std::optional<double> softplus_beta;
  static void describe(Fields<AdamOptions>& f);
};

struct MuonOptions : HostOptions {
  Component<host_kind> auxiliary{"adamw"};
  static void describe(Fields<MuonOptions>& f);
};

struct CosineOptions {
  Duration warmup = Duration::epochs(0);
  double min_lr = 0;
  static void describe(Fields<CosineOptions>& f);
};

struct ConstantOptions {
  static void describe(Fields<ConstantOptions>&) {}
};

struct MlpOptions {
  std::vector<int64_t> hidden{64};
  double dropout = 0;
  static void describe(Fields<MlpOptions>& f);
};

struct VitOptions {
  int64_t patch = 16;
  std::string init_from;
  static void describe(Fields<VitOptions>& f);
};

struct Match {
  std::vector<std::string> tags;
  std::optional<std::string> name;
  std::optional<int32_t> ndim;
  static void describe(Fields<Match>& f);
};

struct Group {
  Match match;
  bool freeze = false;
  std::optional<double> weight_decay;
  double lr_scale = 1;
  static void describe(Fields<Group>& f);
};

struct LookAhead {
  int32_t every = 5;
  double alpha = 0.5;
  static void describe(Fields<LookAhead>& f);
};

struct Optimizer {
  std::vector<Component<transform_kind>> transforms;
  Component<host_kind> host{"adamw"};
  std::optional<LookAhead> lookahead;
  Component<schedule_kind> schedule{"constant"};
  std::vector<Group> groups;
  static void describe(Fields<Optimizer>& f);
};

struct Data {
  std::string preset = "full";
  int64_t train_size = 50000;
  int64_t batch_size = 32;
  double max_bad = 0.001;
  static void describe(Fields<Data>& f);
};

enum class Precision { f32, bf16 };
inline EnumNames<Precision> enum_names(Precision) {
  return {{"f32", Precision::f32}, {"bf16", Precision::bf16}};
}

struct Train {
  Duration duration = Duration::epochs(1);
  Precision precision = Precision::f32;
  std::string device = "auto";
  std::optional<int32_t> threads;
  int32_t accumulate = 1;
  std::optional<Duration> max_time;
  bool deterministic = true;
  static void describe(Fields<Train>& f);
};

struct Best {
  std::string metric;
  std::string mode = "max";
  static void describe(Fields<Best>& f);
};

struct Checkpoint {
  Duration every = Duration::minutes(15);
  int32_t keep_last = 2;
  std::optional<Best> keep_best;
  static void describe(Fields<Checkpoint>& f);
};

struct Root {
  int32_t version = 0;
  uint64_t seed = 1;
  std::optional<std::string> name;
  Component<model_kind> model;
  Data data;
  Optimizer optimizer;
  Train train;
  std::vector<std::string> metrics{"mse"};
  std::map<std::string, double> expect;
  Checkpoint checkpoint;
  static void describe(Fields<Root>& f);
};

}  // namespace sing::config::example
