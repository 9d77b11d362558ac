// What the programs say about a device that is there, and about one that is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sing/core/json.h"
#include "sing/tensor/safetensors.h"
#include "support/program.h"
#include "support/toy_experiment.h"

namespace sing::test {
namespace {

using ::testing::HasSubstr;

const std::string kBuild = SING_BINARY_DIR;
const std::string kEmulated =
    "SING_BACKEND_PATH=" + kBuild + "/tests/plugins/libsing_cuda_emulated.so";
const std::string kFake = "SING_BACKEND_PATH=" + kBuild + "/tests/plugins/fake_plugin.so";

/// A training run of one update in a folder of its own.
struct Toy {
  explicit Toy(const std::string& device) {
    std::ofstream(folder / "toy.yaml") << toy_config();
    words = {"-c",   folder / "toy.yaml", "-o", folder / "runs", "--device",
             device, "--max-steps",       "1"};
  }
  TemporaryFolder folder;
  std::vector<std::string> words;
};

struct Absent {
  const char* name;
  std::vector<std::string> environment;
  const char* sentence;
};
const std::vector<Absent>& absent_devices() {
  static const std::vector<Absent> list = {
      {"no driver", {kEmulated, "SING_EMULATOR_NO_DRIVER=1"}, "no NVIDIA driver is installed"},
      {"no device",
       {kEmulated, "SING_EMULATOR_NO_DEVICE=1"},
       "the NVIDIA driver reports no usable device"},
      {"old driver",
       {kEmulated, "SING_EMULATOR_DRIVER=12040"},
       "the NVIDIA driver serves CUDA 12.4, this backend needs CUDA 13: update the driver"},
      {"older device",
       {kEmulated, "SING_EMULATOR_CAPABILITY=86"},
       "has compute capability 8.6, this backend was built for 90-real: build it with "
       "-DCMAKE_CUDA_ARCHITECTURES=86-real"},
      {"newer device", {kEmulated, "SING_EMULATOR_CAPABILITY=100"}, "compute capability 10.0"},
      {"no toolkit",
       {"SING_BACKEND_PATH=/nowhere/libsing_cuda.so"},
       "no cuda backend is installed"},
      {"other ABI", {kFake, "SING_FAKE_PLUGIN=other_abi"}, "was built for backend ABI"},
      {"refused ABI",
       {kFake, "SING_FAKE_PLUGIN=refuses_abi"},
       "was built for another backend ABI than"},
  };
  return list;
}

TEST(DeviceWords, AskedForAndAbsentIsAnErrorOfUse) {
  for (const Absent& absent : absent_devices()) {
    const Toy toy("cuda");
    const Finished run = run_program("sing-train", toy.words, absent.environment);
    EXPECT_EQ(run.code, 2) << absent.name << ": " << run.error;
    EXPECT_THAT(run.error, HasSubstr("error[E0250]: cuda:0 is not usable: ")) << absent.name;
    EXPECT_THAT(run.error, HasSubstr(absent.sentence)) << absent.name;
    EXPECT_FALSE(std::filesystem::exists(toy.folder / "runs")) << absent.name;
  }
}

TEST(DeviceWords, AutoSaysOneLineAndTakesTheProcessor) {
  for (const Absent& absent : absent_devices()) {
    const Toy toy("auto");
    const Finished run = run_program("sing-train", toy.words, absent.environment);
    EXPECT_EQ(run.code, 0) << absent.name << ": " << run.error;
    EXPECT_THAT(run.error, HasSubstr(absent.sentence)) << absent.name;
    EXPECT_THAT(run.error, HasSubstr("training on cpu")) << absent.name;
    size_t lines = 0;
    for (size_t at = run.error.find("not usable"); at != std::string::npos;
         at = run.error.find("not usable", at + 1))
      ++lines;
    EXPECT_EQ(lines, 1u) << absent.name << ": " << run.error;
  }
}

/// The backend that nvcc built, where it was built and no driver is there.
TEST(DeviceWords, TheRealBackendWithoutADriver) {
  const std::string library = kBuild + "/libsing_cuda.so";
  if (!std::filesystem::exists(library)) GTEST_SKIP() << "libsing_cuda.so was not built";
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a GPU";
  const Toy toy("cuda");
  const Finished run = run_program("sing-train", toy.words, {"SING_BACKEND_PATH=" + library});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.error, ::testing::AnyOf(HasSubstr("no NVIDIA driver is installed"),
                                          HasSubstr("was built for"), HasSubstr("did not load")));
  // Where nobody names it, it is not even opened.
  const Finished found = run_program("sing-train", toy.words, {"SING_BACKEND_PATH="});
  EXPECT_EQ(found.code, 2);
  EXPECT_THAT(found.error, HasSubstr("no NVIDIA driver is installed"));
}

TEST(DeviceWords, DoctorDescribesTheDevice) {
  const Finished there = run_program("sing", {"doctor", "--json"}, {kEmulated});
  EXPECT_EQ(there.code, 0);
  EXPECT_EQ(parse_json(there.output, "doctor").at("cuda").as_string(),
            "emulated device, compute capability 9.0, 2 GiB");
  const Finished absent =
      run_program("sing", {"doctor", "--json"}, {kEmulated, "SING_EMULATOR_NO_DRIVER=1"});
  EXPECT_EQ(absent.code, 0);
  EXPECT_THAT(parse_json(absent.output, "doctor").at("cuda").as_string(),
              HasSubstr("no NVIDIA driver is installed"));
}

TEST(DeviceWords, ASecondGpuThatIsNotThere) {
  const Toy toy("cuda:1");
  const Finished run = run_program("sing-train", toy.words, {kEmulated});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.error, HasSubstr("cuda:1 does not exist: this machine has 1 CUDA device"));
}

/// A check touches no device, not even one that is not there.
TEST(DeviceWords, ACheckNeedsNone) {
  const Toy toy("cuda");
  std::vector<std::string> words = toy.words;
  words.push_back("--check");
  const Finished run =
      run_program("sing-train", words, {"SING_BACKEND_PATH=/nowhere/libsing_cuda.so"});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_THAT(run.output, ::testing::ContainsRegex("memory +[0-9.]+ MiB on cuda"));
}

/// 64 pictures at once need some 2 MB; there are 1.5.
TEST(DevicePrograms, OutOfMemoryHasATableAndASizeThatFits) {
  const Toy toy("cuda");
  std::vector<std::string> words = toy.words;
  for (const char* word : {"data.train_size=64", "data.batch_size=64", "train.accumulate=1"})
    words.emplace_back(word);
  const Finished run = run_program(
      "sing-train", words, {kEmulated, "SING_EMULATOR_MEMORY=1500000", "SING_CUDA_CACHE=off"});
  EXPECT_EQ(run.code, 6) << run.error;
  EXPECT_THAT(run.error, HasSubstr("error[E0602]: out of GPU memory at step 1, "));
  EXPECT_THAT(run.error, HasSubstr("of 1.43 MiB: activations "));
  EXPECT_THAT(run.error, HasSubstr("fits: data.batch_size: 32 with train.accumulate: 2"));
}

/// A kernel that leaves its memory ends the run with the driver's words and the code of a failed
/// call, whenever it is noticed; what was saved before is good and what comes after is not saved.
TEST(DevicePrograms, AFailedKernelLeavesGoodCheckpoints) {
  for (const char* kernel : {"300", "600"}) {
    Toy toy("cuda");
    toy.words.resize(toy.words.size() - 2);  // to the end
    const std::string fails = std::string("SING_EMULATOR_FAIL_AT=") + kernel;
    const Finished run = run_program("sing-train", toy.words, {kEmulated, fails});
    EXPECT_EQ(run.code, 1) << run.error;
    EXPECT_THAT(run.error, HasSubstr("error[E0104]")) << kernel;
    EXPECT_THAT(run.error, HasSubstr("an illegal memory access was encountered")) << kernel;
    const Finished eval =
        run_program("sing-eval", {toy.folder / "runs/toy/latest", "--device", "cpu"}, {});
    EXPECT_EQ(eval.code, 0) << eval.error;
    const Finished again = run_program("sing-train", toy.words, {kEmulated});
    EXPECT_EQ(again.code, 0) << again.error;
  }
}

/// Trains on the device, then measures and predicts there and on the processor.
TEST(DevicePrograms, TrainEvaluateAndPredict) {
  const Toy toy("cuda");
  const Finished trained = run_program("sing-train", toy.words, {kEmulated});
  ASSERT_EQ(trained.code, 0) << trained.error;
  EXPECT_THAT(trained.error, HasSubstr("emulated device, compute capability 9.0"));
  const std::string run = toy.folder / "runs/toy/latest";
  double values[2];
  for (const int there : {0, 1}) {
    const Finished eval =
        run_program("sing-eval", {run, "--device", there ? "cuda" : "cpu", "--json"}, {kEmulated});
    ASSERT_EQ(eval.code, 0) << eval.error;
    values[there] = parse_json(eval.output, "eval").at("metrics").at("eval/test/mse").as_double();
  }
  // f32 on both sides, sums in other orders.
  EXPECT_NEAR(values[1], values[0], 1e-5);
  save_tensors(toy.folder / "in.safetensors", {{"image", Tensor::full({3, 1, 24, 24}, 0.5)}});
  std::vector<double> outputs[2];
  for (const int there : {0, 1}) {
    const std::string out = toy.folder / (there ? "cuda.safetensors" : "cpu.safetensors");
    const Finished predict = run_program(
        "sing-predict",
        {run, toy.folder / "in.safetensors", "--device", there ? "cuda" : "cpu", "-o", out},
        {kEmulated});
    ASSERT_EQ(predict.code, 0) << predict.error;
    outputs[there] = load_tensors(out).at("prediction").to_vector();
  }
  ASSERT_EQ(outputs[0].size(), outputs[1].size());
  for (size_t i = 0; i < outputs[0].size(); ++i) EXPECT_NEAR(outputs[1][i], outputs[0][i], 1e-5);
}

}  // namespace
}  // namespace sing::test
