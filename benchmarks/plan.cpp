// What one training step asks of a GPU, launch by launch, and how long that should take: a
// prediction made without a GPU, beside the floor.
//   bench_plan [WORKLOAD] [--batch N] [--optimizer sing|adamw] [--small N,M] [--each]
// Wants the emulated backend (SING_BACKEND_PATH). Three runs of bench_step are taken down: one at
// full size of which nothing is computed says which launches there are and how large their grids
// are; two small ones say which bytes of device memory each launch touches, which is carried to
// full size along a straight line. Library calls count their operands once. Prints Markdown.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/support/workloads.h"

namespace {

using namespace sing;

// A GPU is expected to reach these parts of its ceilings, and to take so long between two nodes of
// a graph.
constexpr double kOfFlops = 0.80, kOfBytes = 0.85, kGap = 1.5e-6;
constexpr int64_t kMultiprocessors = 132;
constexpr double kMuchData = 4e6;  // bytes for which a grid should fill the device
constexpr int64_t kFewBlocks = 2;  // of a transformer, in the small runs

struct Launch {
  std::string phase, layer, op, name;
  int64_t blocks = 0, threads = 0, shared = 0;
  double read = 0, written = 0, flops = 0;
  bool known = true;  // bytes

  double seconds() const {
    return std::max(flops / (kOfFlops * bench::kH200.flops),
                    (read + written) / (kOfBytes * bench::kH200.bytes)) +
           kGap;
  }
};

/// blocks.7.norm1 -> blocks.*.norm1; the first block stays, since nothing is added before it.
std::string any_block(const std::string& layer) {
  constexpr std::string_view kBlocks = "blocks.";
  if (!layer.starts_with(kBlocks) || layer.starts_with("blocks.0")) return layer;
  const size_t dot = layer.find('.', kBlocks.size());
  return "blocks.*" + (dot == std::string::npos ? "" : layer.substr(dot));
}

std::vector<Launch> read_trace(const std::string& path) {
  std::vector<Launch> launches;
  std::string phase, line;
  std::ifstream file(path);
  while (std::getline(file, line)) {
    if (line.starts_with("# ")) {
      phase = line.substr(2);
      continue;
    }
    std::vector<std::string> fields;
    std::istringstream text(line);
    for (std::string field; std::getline(text, field, '\t');) fields.push_back(field);
    if (fields.size() != 9) throw std::runtime_error("a line of the trace: " + line);
    launches.push_back({phase, any_block(fields[0]), fields[1], fields[2], std::stoll(fields[3]),
                        std::stoll(fields[4]), std::stoll(fields[5]), std::stod(fields[6]),
                        std::stod(fields[7]), std::stod(fields[8])});
  }
  if (launches.empty()) throw std::runtime_error("nothing was taken down: " + path);
  return launches;
}

/// Launches by what they are for; those of equal blocks one after the other.
using Places = std::map<std::string, std::vector<const Launch*>>;
Places places_of(const std::vector<Launch>& launches) {
  Places places;
  for (const Launch& l : launches)
    places[l.phase + "|" + l.layer + "|" + l.op + "|" + l.name].push_back(&l);
  return places;
}

struct Options {
  std::string workload = "vit_s", optimizer = "sing", step = "bench_step";
  int64_t batch = 0, small[2] = {34, 36};
  bool each = false;
};

struct Runs {
  std::vector<Launch> whole, small[2];
};

Runs run_all(const Options& o, int64_t batch, bool transformer) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("sing-plan-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto run = [&](const std::string& before, int64_t images, bool few_blocks) {
    const std::string file = (folder / "trace").string();
    const std::string command = fmt::format(
        "{} '{}' {} --device cuda --dtype bf16 --batch {} --optimizer {} {} --trace '{}'", before,
        o.step, o.workload, images, o.optimizer,
        few_blocks ? fmt::format("--depth {}", kFewBlocks) : "", file);
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
    return read_trace(file);
  };
  Runs runs;
  runs.whole = run("SING_EMULATOR_DRY=1", batch, false);
  for (int i = 0; i < 2; ++i) runs.small[i] = run("", o.small[i], transformer);
  std::filesystem::remove_all(folder);
  return runs;
}

/// Bytes of the launches at full size. `growth`: parameters at full size to those of small runs.
void carry_bytes(Runs& runs, const Options& o, int64_t batch, double growth) {
  const Places small[2] = {places_of(runs.small[0]), places_of(runs.small[1])};
  std::map<std::string, size_t> seen;
  for (Launch& l : runs.whole) {
    if (l.flops > 0 || l.read + l.written > 0) continue;  // of a library: known
    const std::string key = l.phase + "|" + l.layer + "|" + l.op + "|" + l.name;
    const size_t at = seen[key]++;
    const auto first = small[0].find(key), second = small[1].find(key);
    l.known = first != small[0].end() && second != small[1].end() &&
              first->second.size() == second->second.size();
    if (!l.known) continue;
    const Launch &a = *first->second[at % first->second.size()],
                 &b = *second->second[at % first->second.size()];
    const auto carried = [&](double x, double y) {
      const double steps =
          static_cast<double>(batch - o.small[0]) / static_cast<double>(o.small[1] - o.small[0]);
      return std::max(0.0, l.phase == "update" ? growth * x : x + steps * (y - x));
    };
    l.read = carried(a.read, b.read);
    l.written = carried(a.written, b.written);
  }
}

/// The part of the floor that an op belongs to; "" where it has none.
std::string group_of(const Launch& l, const std::vector<std::string>& groups) {
  const auto has = [&](const char* name) { return std::ranges::count(groups, name) > 0; };
  if (l.phase == "update") return "optimizer";
  if (l.op.find("layer_norm") != std::string::npos) return "layer norm";
  if (l.op.find("batch_norm") != std::string::npos) return "batch norm";
  if (l.op.find("attention") != std::string::npos) return "attention";
  if (l.op.find("conv") != std::string::npos && has("convolutions")) return "convolutions";
  if (l.op.find("pool") != std::string::npos && has("pooling")) return "pooling";
  if ((l.op == "linear" || l.op == "feed_forward") && l.layer.starts_with("blocks."))
    return "products";
  if (has("batch norm") && (l.op == "relu" || l.op == "add")) return "batch norm";
  return "ends";
}

void print_launches(const std::vector<Launch>& launches, bool each) {
  struct Row {
    const Launch* launch;
    int64_t count;
  };
  std::vector<Row> rows;
  for (const Launch& l : launches) {
    const auto same = std::ranges::find_if(rows, [&](const Row& row) {
      const Launch& r = *row.launch;
      return !each && r.phase == l.phase && r.layer == l.layer && r.op == l.op &&
             r.name == l.name && r.blocks == l.blocks && std::abs(r.read - l.read) < 1e3;
    });
    if (same == rows.end())
      rows.push_back({&l, 1});
    else
      ++same->count;
  }
  fmt::print(
      "| phase | layer | op | kernel | times | blocks x threads | read MB | written MB | GFLOP | "
      "us "
      "each |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Row& row : rows) {
    const Launch& l = *row.launch;
    const bool narrow =
        l.blocks > 0 && l.blocks < kMultiprocessors && l.read + l.written > kMuchData;
    fmt::print("| {} | {} | {} | `{}` | {} | {}{} | {} | {} | {} | {:.1f} |\n", l.phase, l.layer,
               l.op, l.name, row.count,
               l.blocks > 0 ? fmt::format("{} x {}", l.blocks, l.threads) : "-",
               narrow ? " **few**" : "", l.known ? fmt::format("{:.2f}", l.read * 1e-6) : "?",
               l.known ? fmt::format("{:.2f}", l.written * 1e-6) : "?",
               l.flops > 0 ? fmt::format("{:.2f}", l.flops * 1e-9) : "", 1e6 * l.seconds());
  }
}

void print_summary(const std::vector<Launch>& launches, const bench::FloorModel& floor) {
  struct Sum {
    int64_t nodes = 0;
    double read = 0, written = 0, flops = 0, seconds = 0;
  };
  std::map<std::string, Sum> sums;
  Sum all;
  const std::vector<std::string> groups = floor.groups();
  for (const Launch& l : launches)
    for (Sum* sum : {&sums[group_of(l, groups)], &all}) {
      ++sum->nodes;
      sum->read += l.read;
      sum->written += l.written;
      sum->flops += l.flops;
      sum->seconds += l.seconds();
    }
  fmt::print(
      "| part | nodes | GB of our schedule | GB of the floor | GFLOP | floor ms | predicted ms |\n"
      "|---|---|---|---|---|---|---|\n");
  const auto line = [](const std::string& name, const Sum& sum, double bytes, double seconds) {
    fmt::print("| {} | {} | {:.3f} | {:.3f} | {:.1f} | {:.3f} | {:.3f} |\n", name, sum.nodes,
               (sum.read + sum.written) * 1e-9, bytes * 1e-9, sum.flops * 1e-9, 1e3 * seconds,
               1e3 * sum.seconds);
  };
  for (const std::string& group : groups)
    line(group, sums[group], floor.bytes(group), floor.seconds(bench::kH200, group));
  line("all", all, floor.bytes(), floor.seconds(bench::kH200));
  fmt::print("\nFloor fraction of the prediction: {:.2f}.\n",
             floor.seconds(bench::kH200) / all.seconds);
}

int run(int argc, char** argv) {
  Options o;
  o.step = (std::filesystem::path(argv[0]).parent_path() / "bench_step").string();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      if (++i >= argc) throw std::invalid_argument(word + " wants a value");
      return std::string(argv[i]);
    };
    if (word == "--batch")
      o.batch = std::stoll(value());
    else if (word == "--optimizer")
      o.optimizer = value();
    else if (word == "--each")
      o.each = true;
    else if (word == "--small") {
      const std::string both = value();
      o.small[0] = std::stoll(both);
      o.small[1] = std::stoll(both.substr(both.find(',') + 1));
    } else if (word.starts_with("-"))
      throw std::invalid_argument("unknown flag " + word);
    else
      o.workload = word;
  }
  bench::Workload workload = bench::workload(o.workload, true), few = workload;
  if (o.batch > 0) workload.batch = o.batch;
  few.model.depth = kFewBlocks;
  const int64_t parameters = workload.make_model()->parameter_count();
  Runs runs = run_all(o, workload.batch, !workload.classifies);
  carry_bytes(
      runs, o, workload.batch,
      static_cast<double>(parameters) / static_cast<double>(few.make_model()->parameter_count()));
  std::erase_if(runs.whole, [](const Launch& l) {
    return l.phase != "forward" && l.phase != "backward" && l.phase != "update";
  });
  fmt::print("{}, batch {}, bf16, {}: prediction, not measured.\n\n", o.workload, workload.batch,
             o.optimizer);
  print_summary(runs.whole,
                workload.floor(parameters, bench::Widths::of(true, o.optimizer == "sing")));
  fmt::print("\n");
  print_launches(runs.whole, o.each);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run(argc, argv);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_plan: %s\n", error.what());
  return 2;
}
