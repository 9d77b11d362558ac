#include "config/example_root.h"

namespace sing::config::example {

Kind& transform_kind() {
  static Kind kind("transform");
  return kind;
}
Kind& host_kind() {
  static Kind kind("host");
  return kind;
}
Kind& schedule_kind() {
  static Kind kind("schedule");
  return kind;
}
Kind& model_kind() {
  static Kind kind("model");
  return kind;
}

void SingOptions::describe(Fields<SingOptions>& f) {
  f("centralize", &SingOptions::centralize, "subtract the mean of each output row");
  f("normalize", &SingOptions::normalize, "divide each tensor by its norm");
  f("eps", &SingOptions::eps, "added to the norm").positive();
}

void ClipOptions::describe(Fields<ClipOptions>& f) {
  f("max_norm", &ClipOptions::max_norm, "largest norm that passes").positive();
}

void HostOptions::describe(Fields<HostOptions>& f) {
  f("lr", &HostOptions::lr, "learning rate at its peak").positive();
  f("weight_decay", &HostOptions::weight_decay, "decay rate").non_negative();
}

void SgdOptions::describe(Fields<SgdOptions>& f) {
  f.base<HostOptions>();
  f("momentum", &SgdOptions::momentum, "share of the last step kept").range(0, 1, Ends::low);
  f("nesterov", &SgdOptions::nesterov, "look one step ahead");
  f.check([](const SgdOptions& o, Checker& c) {
    if (o.nesterov && o.momentum == 0) c.fail("nesterov", "needs a momentum", "set momentum: 0.9");
  });
}

void AdamOptions::describe(Fields<AdamOptions>& f) {
  f.base<HostOptions>();
  f("betas", &AdamOptions::betas, "decay of the two moments").range(0, 1, Ends::low);
  f("eps", &AdamOptions::eps, "added to the denominator").non_negative();
  f("decoupled", &AdamOptions::decoupled, "decay the weights, not the gradient");
  f("softplus_beta", &AdamOptions::softplus_beta, "sharpness of the softplus denominator")
      .positive();
}

void MuonOptions::describe(Fields<MuonOptions>& f) {
  f.base<HostOptions>();
  f("auxiliary", &MuonOptions::auxiliary, "host of the tensors that are no matrices");
}

void CosineOptions::describe(Fields<CosineOptions>& f) {
  f("warmup", &CosineOptions::warmup, "linear rise at the start")
      .non_negative()
      .units({Duration::Unit::epochs, Duration::Unit::steps, Duration::Unit::fraction});
  f("min_lr", &CosineOptions::min_lr, "rate at the end").non_negative();
}

void MlpOptions::describe(Fields<MlpOptions>& f) {
  f("hidden", &MlpOptions::hidden, "widths of the hidden layers").positive().non_empty();
  f("dropout", &MlpOptions::dropout, "share of units dropped").fraction();
}

void VitOptions::describe(Fields<VitOptions>& f) {
  f("patch", &VitOptions::patch, "side of a patch").range(1, 64).unit("pixels");
  f("init_from", &VitOptions::init_from, "weights to start from");
}

void Match::describe(Fields<Match>& f) {
  f("tags", &Match::tags, "any of these tags").one_of({"weight", "bias", "norm", "head"});
  f("name", &Match::name, "a name with wildcards");
  f("ndim", &Match::ndim, "number of dimensions").range(0, 6);
}

void Group::describe(Fields<Group>& f) {
  f("match", &Group::match, "which tensors").required();
  f("freeze", &Group::freeze, "leave them as they are");
  f("weight_decay", &Group::weight_decay, "instead of the host's").non_negative();
  f("lr_scale", &Group::lr_scale, "times the host's rate").non_negative();
}

void LookAhead::describe(Fields<LookAhead>& f) {
  f("every", &LookAhead::every, "steps between two looks").positive();
  f("alpha", &LookAhead::alpha, "share of the fast weights taken").range(0, 1, Ends::high);
}

void Optimizer::describe(Fields<Optimizer>& f) {
  f("transforms", &Optimizer::transforms, "stages ahead of the host, in order");
  f("host", &Optimizer::host, "the optimizer itself");
  f("lookahead", &Optimizer::lookahead, "slow weights");
  f("schedule", &Optimizer::schedule, "rate over the run");
  f("groups", &Optimizer::groups, "tensors treated differently; the first match wins");
}

void Data::describe(Fields<Data>& f) {
  f("preset", &Data::preset, "size of the images").one_of({"tiny", "small", "full"});
  f("train_size", &Data::train_size, "training samples").positive();
  f("batch_size", &Data::batch_size, "samples in one forward pass").positive();
  f("max_bad", &Data::max_bad, "share of bad samples borne").fraction();
}

void Train::describe(Fields<Train>& f) {
  f("duration", &Train::duration, "length of the run").positive();
  f("precision", &Train::precision, "number format of the layers");
  f("device", &Train::device, "where to train");
  f("threads", &Train::threads, "worker threads").positive().unset_word("auto");
  f("accumulate", &Train::accumulate, "forward passes in one update").positive();
  f("max_time", &Train::max_time, "stop and save then").units({Duration::Unit::seconds});
  f("deterministic", &Train::deterministic, "the same bits on every run");
  f.check([](const Train& t, Checker& c) {
    if (t.device == "cpu" && t.accumulate > 64)
      c.warn("W0299", "accumulate", "a long wait for each update");
  });
}

void Best::describe(Fields<Best>& f) {
  f("metric", &Best::metric, "group/split/name").required();
  f("mode", &Best::mode, "which end is best").one_of({"max", "min"});
}

void Checkpoint::describe(Fields<Checkpoint>& f) {
  f("every", &Checkpoint::every, "time between two checkpoints").positive();
  f("keep_last", &Checkpoint::keep_last, "newest ones kept").at_least(1);
  f("keep_best", &Checkpoint::keep_best, "also keep the best");
}

void Root::describe(Fields<Root>& f) {
  f.reserved("extends", "file or files this one starts from");
  f("version", &Root::version, "version of the config format").required().range(1, 1);
  f("seed", &Root::seed, "every random stream starts from it");
  f("name", &Root::name, "name of the run");
  f("model", &Root::model, "what is trained");
  f("data", &Root::data, "what it is trained on");
  f("optimizer", &Root::optimizer, "how it is trained");
  f("train", &Root::train, "the run");
  f("metrics", &Root::metrics, "what is measured").one_of({"mse", "accuracy", "depth_accuracy"});
  f("expect", &Root::expect, "values the end should reach");
  f("checkpoint", &Root::checkpoint, "what is saved");
}

namespace {

template <class O>
std::unique_ptr<Made> make(const char* name, double number, double scale) {
  return std::make_unique<Made>(Made{name, number * scale});
}

const bool registered =
    transform_kind().add<SingOptions>(
        "sing", "centre each row, normalise each tensor",
        [](const SingOptions& o, double s) { return make<SingOptions>("sing", o.eps, s); }) &&
    transform_kind().add<ClipOptions>(
        "clip_global_norm", "limit the norm of all gradients together",
        [](const ClipOptions& o, double s) { return make<ClipOptions>("clip", o.max_norm, s); }) &&
    host_kind().add<SgdOptions>(
        "sgd", "stochastic gradient descent",
        [](const SgdOptions& o, double s) { return make<SgdOptions>("sgd", o.lr, s); }) &&
    host_kind().add<AdamOptions>(
        "adam", "adaptive moments",
        [](const AdamOptions& o, double s) { return make<AdamOptions>("adam", o.lr, s); }) &&
    host_kind().add<AdamOptions>(
        "adamw", "adaptive moments, decoupled decay",
        [](const AdamOptions& o, double s) { return make<AdamOptions>("adamw", o.lr, s); },
        [] {
          AdamOptions options;
          options.weight_decay = 0.01;
          options.decoupled = true;
          return options;
        }()) &&
    host_kind().add<MuonOptions>(
        "muon", "orthogonalised momentum",
        [](const MuonOptions& o, double s) { return make<MuonOptions>("muon", o.lr, s); }) &&
    schedule_kind().add<CosineOptions>(
        "cosine", "half a cosine wave",
        [](const CosineOptions& o, double s) { return make<CosineOptions>("cos", o.min_lr, s); }) &&
    schedule_kind().add<ConstantOptions>(
        "constant", "always the same",
        [](const ConstantOptions&, double s) { return make<ConstantOptions>("const", 0, s); }) &&
    model_kind().add<MlpOptions>(
        "mlp", "a plain net",
        [](const MlpOptions& o, double s) { return make<MlpOptions>("mlp", o.dropout, s); }) &&
    model_kind().add<VitOptions>("vit_s", "a vision transformer",
                                 [](const VitOptions& o, double s) {
                                   return make<VitOptions>("vit", static_cast<double>(o.patch), s);
                                 });

}  // namespace
}  // namespace sing::config::example
