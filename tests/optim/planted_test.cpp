// Do the golden trajectories notice mistakes? Rules written out over plain arrays follow them to
// the bound of the golden tests; each of the same rules with one mistake must not.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "support/optim_golden.h"
#include "support/optim_rules.h"

namespace sing::optim {
namespace {

using testing::norm_of;
using testing::OptimGolden;
using testing::OptimProblem;
using testing::Rule;
using testing::RuleTensor;

constexpr double kBound = 1e-10;  // of golden_test.cpp

/// The rule of one golden case and the mistake it is to be made with; empty: none.
class Planted {
 public:
  Planted(const OptimGolden& golden, std::string mistake)
      : tree_(golden.tree), mistake_(std::move(mistake)) {}

  Rule rule() const {
    Rule rule;
    rule.rate = [this](int s) { return rate(s); };
    rule.transform = [this](std::vector<RuleTensor*>& present) { transform(present); };
    rule.update = [this](RuleTensor& x, double lr) { update(x, lr); };
    rule.after = [this](int step, std::vector<RuleTensor>& all) { after(step, all); };
    return rule;
  }
  /// Mistakes that the code below looked for and found.
  bool made() const { return made_ || mistake_.empty(); }

 private:
  bool wrong(const char* mistake) const {
    const bool is = mistake_ == mistake;
    made_ = made_ || is;
    return is;
  }
  std::string text(const std::string& path, const std::string& usual = "") const {
    const config::Value* value = tree_.find_path(path);
    return value == nullptr || value->is_null() ? usual : value->text;
  }
  double number(const std::string& path, double usual) const {
    const std::string found = text(path);
    return found.empty() ? usual : std::stod(found);
  }
  bool flag(const std::string& path) const { return text(path) == "true"; }
  std::string host() const { return OptimGolden::name_of(tree_.find("host")); }
  double beta(int which, double usual) const {
    return number("host.betas." + std::to_string(which), usual);
  }
  std::string stage() const {
    const config::Value* list = tree_.find("transforms");
    return list == nullptr ? "" : OptimGolden::name_of(&list->items.at(0));
  }

  double rate(int s) const {
    const double base = number("host.lr", 0);
    if (OptimGolden::name_of(tree_.find("schedule")) != "cosine") return base;
    const int warmup = tree_.find("schedule")->is_map() ? 10 : 0;
    if (wrong("schedule starts at step one")) s += 1;
    if (s < warmup) return base * (s + 1) / warmup;
    const double q = static_cast<double>(s - warmup) / (OptimProblem::kSteps - warmup);
    return base * 0.5 * (1 + std::cos(3.14159265358979323846 * q));
  }

  void transform(std::vector<RuleTensor*>& present) const;
  void standardise(RuleTensor& x) const;
  double mean(const RuleTensor& x, size_t begin, size_t end) const;
  void decay(RuleTensor& x, double lr) const;
  void update(RuleTensor& x, double lr) const;
  void adam(RuleTensor& x, double lr) const;
  void sgd(RuleTensor& x, double lr) const;
  void other(RuleTensor& x, double lr) const;
  void muon(RuleTensor& x, double lr) const;
  void after(int step, std::vector<RuleTensor>& all) const;

  const config::Value& tree_;
  std::string mistake_;
  mutable bool made_ = false;
  mutable std::vector<std::vector<double>> slow_;
};

double Planted::mean(const RuleTensor& x, size_t begin, size_t end) const {
  if (wrong("row mean summed in f32")) {
    float sum = 0;
    for (size_t i = begin; i < end; ++i) sum += static_cast<float>(x.g[i]);
    return static_cast<double>(sum / static_cast<float>(end - begin));
  }
  long double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += static_cast<long double>(x.g[i]);
  return static_cast<double>(sum / static_cast<long double>(end - begin));
}

void Planted::standardise(RuleTensor& x) const {
  const config::Value& first = tree_.find("transforms")->items.at(0);
  const config::Value* own = first.is_map() ? first.find("eps") : nullptr;
  const double eps = own ? std::stod(own->text) : 1e-8;
  const double raw = norm_of(x.g);
  double one_pass = raw * raw;
  const bool matrix = x.matrix() || wrong("vectors are centred");
  const size_t rows = x.matrix() && !wrong("one mean for the whole tensor")
                          ? static_cast<size_t>(OptimProblem::shape(x.k)[0])
                          : 1;
  const size_t cols = x.g.size() / rows;
  for (size_t row = 0; row < rows && matrix; ++row) {
    const double m = mean(x, row * cols, (row + 1) * cols);
    one_pass -= static_cast<double>(cols) * m * m;
    for (size_t i = row * cols; i < (row + 1) * cols; ++i) x.g[i] -= m;
  }
  double n = norm_of(x.g);
  if (wrong("normalised before centring")) n = raw;
  if (wrong("one-pass variance")) n = std::sqrt(std::max(one_pass, 0.0));
  if (wrong("root mean square for the norm")) n /= std::sqrt(static_cast<double>(x.g.size()));
  double divisor = n + eps;
  if (wrong("eps under the root of the norm")) divisor = std::sqrt(n * n + eps * eps);
  if (wrong("eps as the least norm")) divisor = std::max(n, eps);
  for (double& g : x.g) g /= divisor;
}

void Planted::transform(std::vector<RuleTensor*>& present) const {
  if (stage() == "sing")
    for (RuleTensor* x : present) standardise(*x);
  if (!stage().starts_with("clip")) return;
  double squares = 0;
  for (const RuleTensor* x : present) squares += std::pow(norm_of(x->g), 2);
  const double most = number("transforms.0.max_norm", 1);
  const bool by_tensor = stage() == "clip_tensor_norm" || wrong("clip by tensor");
  for (RuleTensor* x : present) {
    const double n = by_tensor ? norm_of(x->g) : std::sqrt(squares);
    double factor = most / (n + (wrong("clip without its 1e-6") ? 0 : 1e-6));
    factor = wrong("clip inverted") ? std::max(1.0, factor) : std::min(1.0, factor);
    for (double& g : x->g) g *= factor;
  }
}

void Planted::decay(RuleTensor& x, double lr) const {
  const std::string name = host();
  const bool usual = name == "adamw" || name == "adabelief" || name == "lion" || name == "muon";
  const double lambda = number("host.weight_decay", name == "adamw" ? 0.01 : 0);
  if (stage() == "sing" && !x.matrix() && !wrong("decay on vectors")) return;
  const bool decoupled =
      (usual || stage() == "sing") && !wrong("coupled decay where it is decoupled");
  if (wrong("decay without the schedule")) lr = number("host.lr", 0);
  for (size_t i = 0; i < x.theta.size(); ++i) {
    if (decoupled)
      x.theta[i] *= 1 - lr * lambda;
    else
      x.g[i] += lambda * x.theta[i];
  }
}

void Planted::update(RuleTensor& x, double lr) const {
  const bool late = wrong("decay after the update");
  if (!late) decay(x, lr);
  const std::string name = host();
  if (name == "adam" || name == "adamw")
    adam(x, lr);
  else if (name == "sgd")
    sgd(x, lr);
  else if (name == "muon")
    muon(x, lr);
  else
    other(x, lr);
  if (late) decay(x, lr);
}

void Planted::adam(RuleTensor& x, double lr) const {
  double b1 = beta(0, 0.9), b2 = beta(1, 0.999);
  if (wrong("betas exchanged")) std::swap(b1, b2);
  const double c1 = wrong("first moment not corrected") ? 1 : 1 - std::pow(b1, x.t);
  const double c2 = wrong("second moment not corrected") ? 1 : 1 - std::pow(b2, x.t);
  const double eps = number("host.eps", 1e-8), soft = number("host.softplus_beta", 0);
  const auto softplus = [soft](double v) {
    return soft * v > 20 ? v : std::log1p(std::exp(soft * v)) / soft;
  };
  auto &m = x.slot("m"), &v = x.slot("v"), &most = x.slot("most");
  for (size_t i = 0; i < m.size(); ++i) {
    m[i] = b1 * m[i] + (1 - b1) * x.g[i];
    v[i] = b2 * v[i] + (1 - b2) * x.g[i] * x.g[i];
    double used = v[i];
    if (flag("host.amsgrad")) {
      const double seen = wrong("amsgrad of the corrected moment") ? v[i] / c2 : v[i];
      most[i] = std::max(most[i], seen);
      used = wrong("amsgrad of the corrected moment") ? most[i] * c2 : most[i];
    }
    const double root = std::sqrt(used) / std::sqrt(c2);
    double d = soft > 0 ? softplus(root) : root + eps;
    if (wrong("eps inside the root")) d = std::sqrt(used / c2 + eps);
    if (wrong("eps before bias correction")) d = (std::sqrt(used) + eps) / std::sqrt(c2);
    if (wrong("softplus before bias correction")) d = softplus(std::sqrt(used)) / std::sqrt(c2);
    if (wrong("eps beside softplus")) d += eps;
    x.theta[i] -= lr / c1 * m[i] / d;
  }
}

void Planted::sgd(RuleTensor& x, double lr) const {
  const double momentum = number("host.momentum", 0), damping = number("host.dampening", 0);
  auto& b = x.slot("b");
  for (size_t i = 0; i < b.size(); ++i) {
    const bool inside = wrong("rate inside the momentum");
    const double g = inside ? lr * x.g[i] : x.g[i];
    const bool starts = x.t == 1 && !wrong("buffer starts at zero");
    b[i] = starts || momentum == 0 ? g : momentum * b[i] + (1 - damping) * g;
    double u = b[i];
    if (flag("host.nesterov"))
      u = wrong("Nesterov without the gradient") ? momentum * u : g + momentum * u;
    x.theta[i] -= inside ? u : lr * u;
  }
}

void Planted::other(RuleTensor& x, double lr) const {
  const std::string name = host();
  const double b1 = beta(0, 0.9), b2 = beta(1, name == "lion"    ? 0.99
                                               : name == "adopt" ? 0.9999
                                                                 : 0.999);
  const double c1 = 1 - std::pow(b1, x.t), c2 = 1 - std::pow(b2, x.t);
  const double start = name == "yogi" ? 1e-6 : 0;
  auto &m = x.slot("m", start), &v = x.slot("v", wrong("Yogi without its start") ? 0 : start);
  const auto mu = [&](int t) { return b1 * (1 - 0.5 * std::pow(0.96, t * 4e-3)); };
  double& product = x.slot("product", 1)[0];
  product *= mu(x.t);
  const double longest = 2 / (1 - b2) - 1;
  const double rho = longest - 2 * x.t * std::pow(b2, x.t) / c2;
  for (size_t i = 0; i < m.size(); ++i) {
    const double g = x.g[i], before = m[i];
    double& theta = x.theta[i];
    if (name == "adopt") {
      const double fresh = b2 * v[i] + (1 - b2) * g * g;
      if (x.t == 1) {
        v[i] = g * g;
        if (!wrong("ADOPT moves in its first step")) continue;
      }
      const double divisor = wrong("ADOPT divides by the new moment") ? fresh : v[i];
      const double limit = std::pow(x.t - 1, 0.25);
      const double u = g / std::max(std::sqrt(divisor), 1e-6);
      m[i] = b1 * m[i] + (1 - b1) * (x.t == 1 ? u : std::clamp(u, -limit, limit));
      theta -= lr * m[i];
      if (x.t > 1) v[i] = fresh;
      continue;
    }
    if (name == "lion") {
      const double c = b1 * m[i] + (1 - b1) * g;
      m[i] = b2 * m[i] + (1 - b2) * g;
      const double along = wrong("Lion steps along the new momentum") ? m[i] : c;
      theta -= lr * ((along > 0) - (along < 0));
      continue;
    }
    m[i] = b1 * m[i] + (1 - b1) * g;
    double square = g * g;
    if (name == "adabelief")
      square = std::pow(g - (wrong("AdaBelief about the old mean") ? before : m[i]), 2);
    if (name == "yogi" && !wrong("Yogi with Adam's moment"))
      v[i] -= (1 - b2) * ((v[i] > square) - (v[i] < square)) * square;
    else
      v[i] = b2 * v[i] + (1 - b2) * square;
    if (name == "eadam" && !wrong("EAdam's eps not kept")) v[i] += 1e-8;
    if (name == "adabelief") {
      const double eps = number("host.eps", 1e-16);
      const double inner = v[i] + eps;
      if (!wrong("AdaBelief's eps not kept")) v[i] = inner;
      theta -= lr / c1 * m[i] / (std::sqrt(inner) / std::sqrt(c2) + eps);
    } else if (name == "nadam") {
      const double d = std::sqrt(v[i] / c2) + 1e-8, next = mu(x.t + 1);
      double last = 1 - product * next;
      if (wrong("old NAdam")) last = 1 - product * next * mu(x.t);
      const double gradient = wrong("NAdam looks ahead with the moment only") ? m[i] : g;
      theta -= lr * (1 - mu(x.t)) / (1 - product) * gradient / d + lr * next / last * m[i] / d;
    } else if (name == "radam") {
      const double factor =
          std::sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho));
      const bool defined = rho > (wrong("RAdam from rho of 4") ? 4 : 5);
      const double scale = wrong("RAdam without its factor") ? 1 : factor;
      theta -= defined ? lr * scale * std::sqrt(c2) / c1 * m[i] / (std::sqrt(v[i]) + 1e-8)
                       : lr / c1 * m[i];
    } else if (name == "yogi") {
      theta -= lr / c1 * m[i] / (std::sqrt(v[i] / c2) + 1e-3);
    } else {
      theta -= lr * std::sqrt(c2) / c1 * m[i] / std::sqrt(v[i]);  // eadam
    }
  }
}

void Planted::muon(RuleTensor& x, double lr) const {
  auto& m = x.slot("m");
  if (!x.matrix()) {  // the auxiliary AdamW
    auto& v = x.slot("v");
    const double b2 = wrong("Muon's auxiliary with Adam's betas") ? 0.999 : 0.95;
    for (size_t i = 0; i < m.size(); ++i) {
      m[i] = 0.9 * m[i] + 0.1 * x.g[i];
      v[i] = b2 * v[i] + (1 - b2) * x.g[i] * x.g[i];
      const double root = std::sqrt(v[i] / (1 - std::pow(b2, x.t)));
      x.theta[i] -= 3e-4 / (1 - std::pow(0.9, x.t)) * m[i] / (root + 1e-10);
    }
    return;
  }
  const size_t rows = static_cast<size_t>(OptimProblem::shape(x.k)[0]), cols = m.size() / rows;
  const bool tall = rows > cols;
  const size_t p = tall ? cols : rows, q = tall ? rows : cols;
  std::vector<double> u(m.size()), y(m.size()), gram(p * p), power(p * p);
  const double mu = 0.95;
  for (size_t i = 0; i < m.size(); ++i) {
    m[i] = mu * m[i] + (1 - mu) * x.g[i];
    u[i] = wrong("Muon without Nesterov") ? m[i] : (1 - mu) * x.g[i] + mu * m[i];
  }
  const double n = norm_of(u) + 1e-7;
  const auto at = [&](size_t r, size_t c) { return tall ? c * cols + r : r * cols + c; };
  for (size_t r = 0; r < p; ++r)
    for (size_t c = 0; c < q; ++c) y[r * q + c] = u[at(r, c)] / n;
  for (int step = 0; step < (wrong("Muon with a step less") ? 4 : 5); ++step) {
    const std::vector<double> old = y;
    for (size_t r = 0; r < p; ++r)
      for (size_t s = 0; s < p; ++s) {
        double sum = 0;
        for (size_t c = 0; c < q; ++c) sum += old[r * q + c] * old[s * q + c];
        gram[r * p + s] = sum;
      }
    for (size_t r = 0; r < p; ++r)
      for (size_t s = 0; s < p; ++s) {
        double sum = 0;
        for (size_t k = 0; k < p; ++k) sum += gram[r * p + k] * gram[k * p + s];
        power[r * p + s] = -4.7750 * gram[r * p + s] + 2.0315 * sum;
      }
    for (size_t r = 0; r < p; ++r)
      for (size_t c = 0; c < q; ++c) {
        double sum = 3.4445 * old[r * q + c];
        for (size_t k = 0; k < p; ++k) sum += power[r * p + k] * old[k * q + c];
        y[r * q + c] = sum;
      }
  }
  double ratio = static_cast<double>(rows) / static_cast<double>(cols);
  if (wrong("Muon's scale inverted")) ratio = 1 / ratio;
  for (size_t r = 0; r < p; ++r)
    for (size_t c = 0; c < q; ++c)
      x.theta[at(r, c)] -= lr * std::sqrt(std::max(1.0, ratio)) * y[r * q + c];
}

void Planted::after(int step, std::vector<RuleTensor>& all) const {
  if (step == 7 && wrong("a missing gradient counts a step")) ++all[2].t;
  if (tree_.find("lookahead") == nullptr) return;
  const int every = static_cast<int>(number("lookahead.every", 5));
  const double alpha = number("lookahead.alpha", 0.5);
  if (slow_.empty()) {  // before the first step: the values of the problem
    for (const RuleTensor& x : all) {
      auto& slow = slow_.emplace_back();
      for (size_t i = 0; i < x.theta.size(); ++i)
        slow.push_back(OptimProblem::noise(x.k, 0, static_cast<int64_t>(i)));
    }
  }
  if (step == 1 && wrong("slow copy after the first step"))
    for (RuleTensor& x : all) slow_[x.k] = x.theta;
  if (step % every != 0) return;
  if (step == every && wrong("slow copy at the first synchronisation"))
    for (RuleTensor& x : all) slow_[x.k] = x.theta;
  for (RuleTensor& x : all) {
    for (size_t i = 0; i < x.theta.size(); ++i) {
      const double fast = x.theta[i], slow = slow_[x.k][i];
      x.theta[i] = wrong("alpha the other way round") ? fast + alpha * (slow - fast)
                                                      : slow + alpha * (fast - slow);
    }
    if (!wrong("slow copy not renewed")) slow_[x.k] = x.theta;
    if (wrong("moments cleared at a synchronisation")) x.state.clear();
  }
}

struct Case {
  const char* golden;
  std::vector<const char*> mistakes;
};

const std::vector<Case> kCases = {
    {"transforms.sing_sgd",
     {"vectors are centred", "one mean for the whole tensor", "normalised before centring",
      "one-pass variance", "row mean summed in f32", "root mean square for the norm"}},
    {"transforms.sing_eps", {"eps under the root of the norm", "eps as the least norm"}},
    {"transforms.clip_global_norm_sgd", {"clip inverted", "clip by tensor"}},
    {"transforms.clip_tensor_norm_low_sgd", {"clip without its 1e-6"}},
    {"adamw.alone",
     {"first moment not corrected", "second moment not corrected", "betas exchanged",
      "a missing gradient counts a step"}},
    {"adamw.eps", {"eps inside the root", "eps before bias correction"}},
    {"adamw.softplus", {"softplus before bias correction", "eps beside softplus"}},
    {"adamw.decay", {"coupled decay where it is decoupled", "decay after the update"}},
    {"adamw.sing", {"decay on vectors"}},
    {"adamw.sing_cosine", {"decay without the schedule", "schedule starts at step one"}},
    {"adamw.sing_full", {"softplus before bias correction", "slow copy after the first step"}},
    {"adam.amsgrad_decay", {"amsgrad of the corrected moment"}},
    {"sgd.dampening", {"buffer starts at zero"}},
    {"sgd.nesterov", {"Nesterov without the gradient"}},
    {"schedules.cosine", {"rate inside the momentum"}},
    {"post_steps.lookahead_adamw",
     {"slow copy at the first synchronisation", "slow copy not renewed",
      "moments cleared at a synchronisation"}},
    {"post_steps.lookahead_options", {"alpha the other way round"}},
    {"nadam.alone", {"old NAdam", "NAdam looks ahead with the moment only"}},
    {"radam.alone", {"RAdam from rho of 4", "RAdam without its factor"}},
    {"yogi.alone", {"Yogi with Adam's moment", "Yogi without its start"}},
    {"adabelief.plain_eps", {"AdaBelief's eps not kept"}},
    {"adabelief.plain", {"AdaBelief about the old mean"}},
    {"eadam.alone", {"EAdam's eps not kept"}},
    {"lion.alone", {"Lion steps along the new momentum"}},
    {"adopt.alone", {"ADOPT divides by the new moment", "ADOPT moves in its first step"}},
    {"muon.alone",
     {"Muon's scale inverted", "Muon without Nesterov", "Muon with a step less",
      "Muon's auxiliary with Adam's betas"}},
};

const OptimGolden& golden_of(const std::string& name) {
  for (const auto& file : testing::optim_golden_files())
    for (const OptimGolden& golden : file.cases)
      if (golden.full_name() == name) return golden;
  throw InternalError("no golden case " + name);
}

/// Worst relative error over the kept steps, measured as golden_test.cpp does.
double miss(const Planted& planted, const OptimGolden& golden) {
  const auto got = follow(planted.rule(), golden.steps);
  double worst = 0;
  for (size_t kept = 0; kept < got.size(); ++kept) {
    testing::OptimProblem problem(DType::f64);  // of which only the cut into tensors is used
    size_t at = 0;
    for (size_t k = 0; k < OptimProblem::kTensors; ++k) {
      const auto begin = got[kept].begin() + static_cast<ptrdiff_t>(at);
      const int64_t n = OptimProblem::shape(k).numel();
      at += static_cast<size_t>(n);
      problem.parameters[k].value.copy_from(
          Tensor::from(std::vector<double>(begin, begin + n), OptimProblem::shape(k)));
    }
    worst = std::max(worst, worst_difference(problem.parameters, golden.values.at(kept)));
  }
  return worst;
}

TEST(PlantedMistakes, TheRulesThemselvesFollowTheGoldens) {
  for (const Case& c : kCases) {
    const OptimGolden& golden = golden_of(c.golden);
    EXPECT_LE(miss(Planted(golden, ""), golden), kBound) << c.golden;
  }
}

TEST(PlantedMistakes, EachIsCaught) {
  std::set<std::string> caught;
  double closest = HUGE_VAL;
  for (const Case& c : kCases) {
    const OptimGolden& golden = golden_of(c.golden);
    for (const char* mistake : c.mistakes) {
      const Planted planted(golden, mistake);
      const double error = miss(planted, golden);
      EXPECT_TRUE(planted.made()) << mistake << ": " << c.golden << " has no place for it";
      EXPECT_GT(error, 10 * kBound) << mistake << " would pass in " << c.golden;
      if (error > 10 * kBound) caught.insert(mistake);
      closest = std::min(closest, error);
      std::printf("%-42s %-32s off by %.1e\n", mistake, c.golden, error);
    }
  }
  std::printf("%zu mistakes caught, the closest off by %.1e\n", caught.size(), closest);
  EXPECT_GE(caught.size(), 25u);
}

}  // namespace
}  // namespace sing::optim
