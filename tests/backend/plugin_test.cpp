#include "sing/backend/plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "backend/plugin_loader.h"
#include "kernels/memory.h"
#include "sing/core/error.h"
#include "sing/tensor/tensor.h"
#include "support/temporary_folder.h"

namespace sing::backend {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string built_plugin(const std::string& name) {
  return std::string(SING_BINARY_DIR) + "/tests/plugins/" + name + ".so";
}

/// Opens the fake plugin in one of its modes; the mode is gone afterwards.
Plugin open_fake(const char* mode) {
  setenv("SING_FAKE_PLUGIN", mode, 1);
  Plugin plugin = open_plugin(DeviceType::cuda, built_plugin("fake_plugin"));
  unsetenv("SING_FAKE_PLUGIN");
  return plugin;
}

class PluginTest : public testing::Test {
 protected:
  void SetUp() override {
#if !defined(SING_TEST_PLUGINS)
    GTEST_SKIP() << "a static libsing opens no backends";
#endif
  }
};

TEST_F(PluginTest, MissingFileGivesTheLoadersWords) {
  const Plugin plugin = open_plugin(DeviceType::cuda, "/nowhere/libsing_cuda.so");
  EXPECT_FALSE(plugin.state.usable);
  EXPECT_THAT(plugin.state.reason, HasSubstr("did not load: "));
  EXPECT_THAT(plugin.state.reason, HasSubstr("No such file"));
}

TEST_F(PluginTest, DamagedFileGivesTheLoadersWords) {
  const test::TemporaryFolder folder;
  const std::string file = folder.path() + "/libsing_cuda.so";
  std::ofstream(file) << "this is no library";
  const Plugin plugin = open_plugin(DeviceType::cuda, file);
  EXPECT_FALSE(plugin.state.usable);
  EXPECT_EQ(plugin.state.library, file);
  EXPECT_THAT(plugin.state.reason, StartsWith(file + " did not load: "));
}

TEST_F(PluginTest, UnresolvedSymbolIsFoundWhileOpening) {
  const Plugin plugin = open_plugin(DeviceType::cuda, built_plugin("fake_plugin_unresolved"));
  EXPECT_FALSE(plugin.state.usable);
  EXPECT_THAT(plugin.state.reason, HasSubstr("driver_call_that_nobody_has"));
}

TEST_F(PluginTest, ForeignLibraryIsRefused) {
  const Plugin plugin = open_plugin(DeviceType::cuda, built_plugin("fake_plugin_foreign"));
  EXPECT_FALSE(plugin.state.usable);
  EXPECT_THAT(plugin.state.reason, EndsWith("is no SING backend: it has no sing_backend_entry"));
}

TEST_F(PluginTest, OtherAbiIsRefusedBeforeTheProbe) {
  EXPECT_THAT(open_fake("refuses_abi").state.reason,
              HasSubstr("was built for another backend ABI than " + std::to_string(kBackendAbi)));
  EXPECT_THAT(open_fake("other_abi").state.reason,
              HasSubstr("was built for backend ABI " + std::to_string(kBackendAbi + 7) +
                        ", this SING has " + std::to_string(kBackendAbi)));
  EXPECT_THAT(open_fake("short_table").state.reason, HasSubstr("has an incomplete table"));
}

TEST_F(PluginTest, ProbeSentenceIsKeptAsItIs) {
  const Plugin plugin = open_fake("no_device");
  EXPECT_FALSE(plugin.state.usable);
  EXPECT_EQ(plugin.state.reason, "no fake driver on this machine");
}

TEST_F(PluginTest, BackendThatFailsHalfWayLeavesNoKernels) {
  EXPECT_EQ(open_fake("add_fails").state.reason, "the fake library is too old");
  EXPECT_FALSE(kernels::fill.has(DeviceType::cuda));
  EXPECT_THAT(open_fake("no_runtime").state.reason, HasSubstr("registered no runtime"));
  EXPECT_FALSE(kernels::fill.has(DeviceType::cuda));
}

TEST_F(PluginTest, ChosenPlaceIsTheOnlyOne) {
  const test::TemporaryFolder folder;
  const auto in_folder = plugin_candidates(DeviceType::cuda, folder.path().c_str());
  ASSERT_EQ(in_folder.size(), 1u);
  EXPECT_EQ(in_folder[0], folder.path() + "/libsing_cuda.so");
  const auto file = plugin_candidates(DeviceType::cuda, "/some/where/backend.so");
  ASSERT_EQ(file.size(), 1u);
  EXPECT_EQ(file[0], "/some/where/backend.so");
}

TEST_F(PluginTest, OtherwiseBesideLibsingThenLibBesideTheExecutable) {
  for (const char* unset : {static_cast<const char*>(nullptr), ""}) {
    const auto places = plugin_candidates(DeviceType::cuda, unset);
    ASSERT_EQ(places.size(), 2u);
    EXPECT_EQ(places[0], std::filesystem::canonical(SING_BINARY_DIR) / "libsing_cuda.so");
    EXPECT_EQ(places[1], std::filesystem::canonical(SING_BINARY_DIR) / "lib/libsing_cuda.so");
  }
}

// The answer is kept for the life of a process, so each of these runs in one of its own.
class PluginDeathTest : public PluginTest {
 protected:
  void SetUp() override {
    PluginTest::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

[[noreturn]] void report(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
  std::_Exit(0);
}

[[noreturn]] void report_device_error() {
  try {
    Tensor::empty({4}, {.device = {DeviceType::cuda, 0}});
  } catch (const DeviceError& error) {
    report(error.code() + ": " + error.what());
  }
  std::_Exit(1);
}

TEST_F(PluginDeathTest, AbsentBackendIsADeviceErrorThatSaysWhereItLooked) {
  EXPECT_EXIT(
      {
        setenv("SING_BACKEND_PATH", "/nowhere/libsing_cuda.so", 1);
        report_device_error();
      },
      testing::ExitedWithCode(0),
      "E0250: cuda:0 is not usable: no cuda backend is installed \\(looked for "
      "/nowhere/libsing_cuda.so\\)");
}

TEST_F(PluginDeathTest, ProbeSentenceReachesTheDeviceError) {
  EXPECT_EXIT(
      {
        setenv("SING_BACKEND_PATH", built_plugin("fake_plugin").c_str(), 1);
        setenv("SING_FAKE_PLUGIN", "no_device", 1);
        report_device_error();
      },
      testing::ExitedWithCode(0), "E0250: cuda:0 is not usable: no fake driver on this machine");
}

TEST_F(PluginDeathTest, TheSearchHappensOnce) {
  EXPECT_EXIT(
      {
        setenv("SING_BACKEND_PATH", "/nowhere", 1);
        const bool before = backend_state(DeviceType::cuda).usable;
        setenv("SING_BACKEND_PATH", built_plugin("fake_plugin").c_str(), 1);
        const bool after = backend_state(DeviceType::cuda).usable;
        report(before || after ? "searched again" : "once");
      },
      testing::ExitedWithCode(0), "once");
}

/// A tensor on the fake device: memory, copies and the one kernel come from the plugin, an error
/// thrown there is caught here, and a kernel it does not have is named.
[[noreturn]] void use_the_fake_device() {
  setenv("SING_BACKEND_PATH", built_plugin("fake_plugin").c_str(), 1);
  const Device device{DeviceType::cuda, 0};
  std::string seen = runtime(device).description();
  Tensor x = Tensor::full({3}, 2.0, {.device = device});
  seen += "; filled with " + std::to_string(x.to(Device{}).data<float>()[2]);
  try {
    x.fill(-1.0);
  } catch (const OutOfMemoryError& error) {
    seen += "; caught " + error.code() + " of " + error.where();
  }
  try {
    x.clone();
  } catch (const NotImplementedError& error) {
    seen += "; " + std::string(error.what());
  }
  report(seen);
}

TEST_F(PluginDeathTest, KernelsMemoryAndErrorsCrossTheBoundary) {
  EXPECT_EXIT(use_the_fake_device(), testing::ExitedWithCode(0),
              "a device made of host memory; filled with 2.5[0-9]*; caught E0602 of fill; "
              "strided_copy: no kernel for device cuda");
}

#if !defined(SING_TEST_PLUGINS)
TEST(BackendState, StaticLibsingSaysWhyItHasNoBackends) {
  EXPECT_FALSE(backend_state(DeviceType::cuda).usable);
  EXPECT_THAT(backend_state(DeviceType::cuda).reason, HasSubstr("static libsing"));
}
#endif

TEST(BackendState, TheCpuIsAlwaysThere) {
  EXPECT_TRUE(backend_state(DeviceType::cpu).usable);
  EXPECT_EQ(backend_state(DeviceType::cpu).reason, "");
}

}  // namespace
}  // namespace sing::backend
