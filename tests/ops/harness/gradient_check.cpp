// f64 on the reference path: analytic gradients against central differences, gradients that add,
// gradients asked one at a time, and faults planted in them that must be noticed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "ops/harness/checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/kernel_slot.h"

namespace sing::test {
namespace {

using Vector = std::vector<double>;
constexpr std::array<double, 2> kSteps = {1e-4, 1e-5};  // the better one counts
constexpr size_t kAllCoordinates = 40;                  // larger inputs get random directions

/// One number the gradient must reproduce: sum of gradient * direction.
struct Probe {
  size_t coordinate;  // npos: the signs of `direction`
  Vector direction;
  std::array<double, kSteps.size()> numeric{};
};
constexpr size_t kDirection = static_cast<size_t>(-1);

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double along(const Vector& gradient, const Probe& probe) {
  return probe.coordinate == kDirection ? dot(gradient, probe.direction)
                                        : gradient[probe.coordinate];
}

bool agrees(const Vector& gradient, const Probe& probe) {
  const double analytic = along(gradient, probe);
  return std::any_of(probe.numeric.begin(), probe.numeric.end(),
                     [&](double n) { return std::abs(analytic - n) <= 1e-7 + 1e-5 * std::abs(n); });
}

bool agrees(const Vector& gradient, const std::vector<Probe>& probes) {
  return std::all_of(probes.begin(), probes.end(),
                     [&](const Probe& probe) { return agrees(gradient, probe); });
}

/// The loss is <output, fixed random gradient>, so its derivative is what backward returns.
double loss(const Prepared& p, const Vector& output_gradient) {
  const autograd::NoGradGuard no_grad;
  return dot(p.sample.op(p.tensors(DType::f64, Layout::dense)).to_vector(), output_gradient);
}

std::vector<Probe> make_probes(Prepared& p, size_t input, const Vector& analytic,
                               const Vector& output_gradient) {
  Vector& x = p.values[input];
  Random random({.seed = x.size(), .purpose = Purpose::test, .position = input});
  std::vector<Probe> probes;
  const auto coordinate = [&](size_t i) { probes.push_back({i, {}, {}}); };
  if (x.size() <= kAllCoordinates) {
    for (size_t i = 0; i < x.size(); ++i) coordinate(i);
  } else {
    for (int k = 0; k < 8; ++k) coordinate(random.below(x.size()));
    const auto larger = [](double a, double b) { return std::abs(a) < std::abs(b); };
    coordinate(static_cast<size_t>(std::max_element(analytic.begin(), analytic.end(), larger) -
                                   analytic.begin()));
    for (int k = 0; k < 4; ++k) {
      Probe probe{kDirection, Vector(x.size()), {}};
      for (double& d : probe.direction) d = random.uniform() < 0.5 ? -1 : 1;
      probes.push_back(std::move(probe));
    }
  }
  for (Probe& probe : probes) {
    const Vector before = x;
    const auto move = [&](double h) {
      for (size_t i = 0; i < x.size(); ++i) {
        const double d = probe.coordinate == kDirection ? probe.direction[i]
                         : probe.coordinate == i        ? 1.0
                                                        : 0.0;
        x[i] = before[i] + h * d;
      }
      const double value = loss(p, output_gradient);
      x = before;
      return value;
    };
    for (size_t s = 0; s < kSteps.size(); ++s)
      probe.numeric[s] = (move(kSteps[s]) - move(-kSteps[s])) / (2 * kSteps[s]);
  }
  return probes;
}

enum Fault { scaled, sign, missing, transposed, kFaults };
constexpr std::array<const char*, kFaults> kFaultNames = {"x 1.001", "sign", "missing term",
                                                          "transposed"};

Vector with_fault(const Vector& gradient, const Shape& shape, Fault fault) {
  Vector bad = gradient;
  const size_t n = gradient.size();
  switch (fault) {
    case scaled:
      for (double& g : bad) g *= 1.001;
      break;
    case sign:
      for (double& g : bad) g = -g;
      break;
    case missing:
      std::fill(bad.begin(), bad.begin() + static_cast<std::ptrdiff_t>((n + 1) / 2), 0.0);
      break;
    default: {
      const size_t cols = shape.rank() == 0 ? 1 : static_cast<size_t>(shape[-1]);
      const size_t rows = n / std::max<size_t>(cols, 1);
      if (rows > 1 && cols > 1) {
        for (size_t i = 0; i < n; ++i) bad[i] = gradient[(i % rows) * cols + i / rows];
      } else {
        std::reverse(bad.begin(), bad.end());
      }
    }
  }
  return bad;
}

/// Below the resolution of the check nothing can be noticed: a zero gradient times 1.001, say.
bool has_effect(const Vector& bad, const Vector& good) {
  for (size_t i = 0; i < good.size(); ++i)
    if (std::abs(bad[i] - good[i]) > 2 * (1e-7 + 1e-5 * std::abs(good[i]))) return true;
  return false;
}

struct FaultCount {
  int planted = 0, caught = 0, without_effect = 0;
};
/// By input name and fault.
using FaultCounts = std::map<std::pair<std::string, Fault>, FaultCount>;

void plant_faults(const Vector& gradient, const InputSpec& spec, const std::vector<Probe>& probes,
                  FaultCounts& counts, const std::string& where) {
  for (int f = 0; f < kFaults; ++f) {
    const Fault fault = static_cast<Fault>(f);
    FaultCount& count = counts[{spec.name, fault}];
    const Vector bad = with_fault(gradient, spec.shape, fault);
    if (!has_effect(bad, gradient)) {
      ++count.without_effect;
      continue;
    }
    ++count.planted;
    const bool caught = !agrees(bad, probes);
    if (caught) ++count.caught;
    EXPECT_TRUE(caught) << where << ": the planted fault \"" << kFaultNames[static_cast<size_t>(f)]
                        << "\" was not noticed";
  }
}

/// Largest difference relative to the largest gradient.
double difference(const Vector& a, const Vector& b) {
  double worst = 0, largest = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::isnan(a[i]) ? INFINITY : std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  return worst / std::max(largest, 1.0);
}

Tensor backward_once(const OpCase& c, const Sample& sample, const Inputs& inputs, Layout layout) {
  const Tensor out = sample.op(inputs);
  out.backward(
      lay_out(output_gradient(c, sample, out.shape(), layout), out.shape(), DType::f64, layout));
  return out;
}

/// Into a buffer that already holds numbers, twice: buffer + 2 gradients. And each input alone.
void check_adding(const OpCase& c, const Prepared& p, const Run& once, Layout layout,
                  const std::string& where) {
  Inputs inputs = p.tensors(DType::f64, layout);
  std::vector<Vector> before;
  for (const size_t i : p.differentiable) {
    const InputSpec& spec = p.sample.inputs[i];
    InputSpec buffer = in("buffer of " + spec.name, spec.shape);
    before.push_back(make_values(c, p.sample, buffer, Layout::dense));
    inputs.at(spec.name).set_requires_grad().set_grad(Tensor::from(before.back(), spec.shape));
  }
  backward_once(c, p.sample, inputs, layout);
  backward_once(c, p.sample, inputs, layout);
  for (size_t k = 0; k < p.differentiable.size(); ++k) {
    const InputSpec& spec = p.sample.inputs[p.differentiable[k]];
    Vector wanted = before[k];
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] += 2 * once.gradients[k][i];
    EXPECT_LE(difference(inputs[spec.name].grad().to_vector(), wanted), 1e-12)
        << where << ": the gradient of " << spec.name << " does not add to its buffer";

    Inputs alone = p.tensors(DType::f64, layout);
    alone.at(spec.name).set_requires_grad();
    const Tensor out = backward_once(c, p.sample, alone, layout);
    EXPECT_LE(difference(alone[spec.name].grad().to_vector(), once.gradients[k]), 1e-12)
        << where << ": the gradient of " << spec.name << " differs when no other is asked";
    EXPECT_EQ(out.to_vector(), once.output) << where << ": the output depends on who asks";
  }
}

}  // namespace

void check_gradients(const OpCase& c) {
  const backend::KernelPathGuard reference(backend::KernelPath::reference);
  FaultCounts faults;
  int gradients = 0;
  for (const Sample& sample : c.samples()) {
    // Only the expanded layout changes the numbers, so differences are taken at most twice.
    std::map<std::pair<bool, size_t>, std::vector<Probe>> probes;
    for (const Layout layout : c.layouts(sample)) {
      Prepared p(c, sample, layout);
      const std::string where = c.name() + ", sample " + sample.name + ", " + name_of(layout);
      const Run once = run(c, p, DType::f64, layout);
      if (!is_floating(once.dtype) || p.differentiable.empty()) continue;
      const Vector g = output_gradient(c, sample, once.shape, layout);
      ASSERT_EQ(once.gradients.size(), p.differentiable.size()) << where << ": nothing recorded";
      for (size_t k = 0; k < p.differentiable.size(); ++k) {
        const size_t input = p.differentiable[k];
        const InputSpec& spec = sample.inputs[input];
        const Vector& gradient = once.gradients[k];
        const bool expanded = layout == Layout::expanded;
        auto [it, fresh] = probes.try_emplace({expanded, k});
        if (fresh) it->second = make_probes(p, input, gradient, g);
        ++gradients;
        for (const Probe& probe : it->second)
          ASSERT_TRUE(agrees(gradient, probe))
              << where << ": gradient of " << spec.name << " along "
              << (probe.coordinate == kDirection ? std::string("a random direction")
                                                 : std::to_string(probe.coordinate))
              << " is " << along(gradient, probe) << ", differences say " << probe.numeric[0]
              << " and " << probe.numeric[1];
        plant_faults(gradient, spec, it->second, faults, where);
      }
      check_adding(c, p, once, layout, where);
      if (::testing::Test::HasFailure()) return;
    }
  }
  FaultCount all;
  for (const auto& [key, count] : faults) {
    all.planted += count.planted;
    all.caught += count.caught;
    all.without_effect += count.without_effect;
    if (key.second != transposed) {
      EXPECT_GT(count.caught, 0) << c.name() << ": no sample can notice the fault \""
                                 << kFaultNames[key.second] << "\" in the gradient of "
                                 << key.first;
    }
  }
  std::printf("%s: %d gradients checked, %d faults planted, %d caught, %d would change nothing\n",
              c.name().c_str(), gradients, all.planted, all.caught, all.without_effect);
}

}  // namespace sing::test
