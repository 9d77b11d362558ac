#include "sing/data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <tuple>

#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/tensor/state_visitor.h"

namespace sing::data {
namespace {

/// inputs (2): the index and the epoch; targets: a label. Behaves badly on request.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t size) : size_(size) {}

  std::string name() const override { return "numbers (train)"; }
  int64_t size() const override { return size_; }
  const std::vector<Field>& fields() const override { return fields_; }
  std::vector<NamedTensor> constants() const override { return {{"unit", Tensor::scalar(3)}}; }
  std::string fingerprint() const override { return "numbers"; }

  void get(const SampleKey& key, std::span<void* const> out) const override {
    ++calls;
    if (key.index == hang_at) {
      std::unique_lock lock(mutex);
      released.wait(lock, [this] { return let_go; });
    }
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(key.index * 37 % 300));
    if (damaged.contains(key.index))
      throw DataError("checksum differs", "numbers.bin, byte 12", "copy it again", "E0307");
    if (key.index == bug_at) throw std::runtime_error("vector::at");
    if (key.index == memory_at) throw std::bad_alloc();
    if (key.index == device_at) throw BackendError("no more descriptors");
    static_cast<float*>(out[0])[0] = static_cast<float>(key.index);
    static_cast<float*>(out[0])[1] = static_cast<float>(key.epoch);
    *static_cast<int64_t*>(out[1]) = key.index == label_at ? label : key.index % 5;
  }

  mutable std::atomic<int64_t> calls{0};
  bool slow = false;
  std::set<int64_t> damaged;
  int64_t bug_at = -1, memory_at = -1, device_at = -1, hang_at = -1, label_at = -1, label = 0;
  mutable std::mutex mutex;
  mutable std::condition_variable released;
  mutable bool let_go = false;

  void release() const {
    const std::lock_guard lock(mutex);
    let_go = true;
    released.notify_all();
  }

 private:
  int64_t size_;
  std::vector<Field> fields_ = {{"inputs", {2}, DType::f32}, {"targets", {}, DType::i64, 5}};
};

std::shared_ptr<Numbers> numbers(int64_t size) {
  return std::make_shared<Numbers>(size);
}

struct Seen {
  std::vector<int64_t> indices;
  std::vector<double> inputs, targets;
  bool operator==(const Seen&) const = default;
};
Seen look(const Batch& batch) {
  Seen seen{{}, batch.inputs().to_vector(), batch.targets().to_vector()};
  for (const double index : batch.at("index").to_vector())
    seen.indices.push_back(static_cast<int64_t>(index));
  return seen;
}
Seen take(Loader& loader) {
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  return look(batch);
}
std::vector<Seen> take(Loader& loader, int64_t batches) {
  std::vector<Seen> result;
  for (int64_t i = 0; i < batches; ++i) result.push_back(take(loader));
  return result;
}

template <class E>
E failure(Loader& loader) {
  Batch batch;
  try {
    loader.next(batch);
  } catch (const E& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return E("");
}

TEST(Loader, SameStreamForAnyWorkersAndPrefetch) {
  const auto set = numbers(23);
  set->slow = true;
  std::vector<Seen> expected;
  for (const auto& [workers, prefetch] :
       {std::tuple(0, 2), {1, 1}, {1, 3}, {2, 1}, {2, 2}, {4, 3}, {4, 8}}) {
    Loader loader(set, {.batch_size = 4, .workers = workers, .prefetch = prefetch, .seed = 7});
    const std::vector<Seen> stream = take(loader, 3 * 6);  // three epochs, each with a short batch
    if (workers == 0)
      expected = stream;
    else
      EXPECT_EQ(stream, expected) << workers << " workers, " << prefetch << " ahead";
  }
}

TEST(Loader, EveryEpochHoldsEachSampleOnceInAnotherOrder) {
  Loader loader(numbers(23), {.batch_size = 4, .seed = 1});
  EXPECT_EQ(loader.batches_per_epoch(), 6);
  EXPECT_EQ(loader.samples_per_epoch(), 23);
  std::vector<std::vector<int64_t>> epochs(3);
  for (size_t epoch = 0; epoch < 3; ++epoch)
    for (int i = 0; i < 6; ++i) {
      const Seen seen = take(loader);
      EXPECT_EQ(seen.indices.size(), i == 5 ? 3u : 4u) << "the last batch has its true size";
      for (size_t row = 0; row < seen.indices.size(); ++row) {
        EXPECT_EQ(seen.inputs[2 * row], static_cast<double>(seen.indices[row]));
        EXPECT_EQ(seen.inputs[2 * row + 1], static_cast<double>(epoch));
        EXPECT_EQ(seen.targets[row], static_cast<double>(seen.indices[row] % 5));
        epochs[epoch].push_back(seen.indices[row]);
      }
    }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  for (auto& order : epochs) {
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < 23; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  }
  Loader other(numbers(23), {.batch_size = 4, .seed = 2});
  Loader same(numbers(23), {.batch_size = 4, .seed = 1});
  const Seen first = take(same);
  EXPECT_NE(take(other).indices, first.indices) << "the seed decides";
}

TEST(Loader, BatchesCarryConstants) {
  Loader loader(numbers(8), {.batch_size = 4});
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.at("unit").item(), 3);
}

TEST(Loader, WithoutShuffleInOrderOnce) {
  for (const int workers : {0, 2}) {
    Loader loader(numbers(5), {.batch_size = 2, .workers = workers, .shuffle = false, .epochs = 1});
    EXPECT_EQ(take(loader).indices, (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(take(loader).indices, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(take(loader).indices, (std::vector<int64_t>{4}));
    Batch batch;
    EXPECT_FALSE(loader.next(batch));
    EXPECT_FALSE(loader.next(batch));
    loader.resume({});
    EXPECT_EQ(take(loader).indices, (std::vector<int64_t>{0, 1}));
  }
}

TEST(Loader, DropLastLeavesOutTheShortBatch) {
  Loader loader(numbers(23), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(loader.batches_per_epoch(), 5);
  EXPECT_EQ(loader.samples_per_epoch(), 20);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(take(loader).indices.size(), 4u);
  EXPECT_EQ(loader.state(), (LoaderState{2, 8}));
  loader.resume({2, 20});
  EXPECT_EQ(loader.state(), (LoaderState{3, 0}));
  EXPECT_THROW(loader.resume({2, 23}), ConfigError);
}

TEST(Loader, ContinuesAtEveryPosition) {
  const auto set = numbers(11);
  const LoaderOptions options{.batch_size = 3, .seed = 5};
  Loader unbroken(set, options);
  std::vector<LoaderState> states;
  std::vector<Seen> stream;
  for (int i = 0; i < 12; ++i) {
    states.push_back(unbroken.state());
    stream.push_back(take(unbroken));
  }
  EXPECT_EQ(states[0], (LoaderState{0, 0}));
  EXPECT_EQ(states[3], (LoaderState{0, 9}));
  EXPECT_EQ(states[4], (LoaderState{1, 0})) << "the end of an epoch is the start of the next";
  Loader used(set, options);  // resumes again and again, with batches in flight
  for (size_t i = 12; i-- > 0;) {
    LoaderOptions other = options;
    other.workers = static_cast<int>(i % 4);
    other.prefetch = 1 + static_cast<int>(i % 3);
    Loader fresh(set, other);
    for (Loader* loader : {&fresh, &used}) {
      loader->resume(states[i]);
      EXPECT_EQ(loader->state(), states[i]);
      for (size_t j = i; j < std::min<size_t>(12, i + 3); ++j) EXPECT_EQ(take(*loader), stream[j]);
    }
  }
  used.resume({0, 11});  // the end of an epoch
  EXPECT_EQ(used.state(), (LoaderState{1, 0}));
}

TEST(Loader, SeekingReadsNothingOnTheWay) {
  const auto set = numbers(1000000);
  Loader loader(set, {.batch_size = 10, .workers = 0});
  loader.resume({3, 999990});
  EXPECT_EQ(set->calls, 0);
  EXPECT_EQ(take(loader).inputs[1], 3);
  EXPECT_EQ(set->calls, 10);
}

TEST(Loader, RefusesAPositionInsideABatch) {
  Loader loader(numbers(11), {.batch_size = 3});
  for (const LoaderState state :
       {LoaderState{0, 4}, LoaderState{0, -3}, LoaderState{0, 12}, LoaderState{UINT64_MAX, 0}}) {
    try {
      loader.resume(state);
      FAIL();
    } catch (const ConfigError& e) {
      EXPECT_EQ(e.code(), "E0266");
    }
  }
}

TEST(Loader, RefusesOptionsOutOfRange) {
  const auto code = [](int64_t size, LoaderOptions options) -> std::string {
    try {
      Loader loader(numbers(size), options);
    } catch (const ConfigError& e) {
      return e.code();
    }
    return "none";
  };
  EXPECT_EQ(code(4, {.batch_size = 4, .drop_last = true}), "none");
  EXPECT_EQ(code(3, {.batch_size = 4, .drop_last = true}), "E0265");
  EXPECT_EQ(code(0, {}), "E0265");
  EXPECT_EQ(code(3, {.batch_size = 0}), "E0265");
  EXPECT_EQ(code(3, {.workers = -1}), "E0265");
  EXPECT_EQ(code(3, {.prefetch = 0}), "E0265");
  EXPECT_EQ(code(3, {.epochs = -1}), "E0265");
  EXPECT_EQ(code(3, {.max_bad = 1.5}), "E0265");
  EXPECT_EQ(code(3, {.timeout = 0}), "E0265");
}

TEST(Loader, AnErrorArrivesAtItsBatchAndNamesTheSample) {
  for (const int workers : {0, 1, 3}) {
    const auto set = numbers(40);
    set->damaged = {17};
    Loader loader(set, {.batch_size = 4, .workers = workers, .prefetch = 3, .shuffle = false});
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(take(loader).indices[0], 4 * i);
    for (int i = 0; i < 2; ++i) {  // calling again throws again
      const DataError e = failure<DataError>(loader);
      EXPECT_EQ(e.code(), "E0307");
      EXPECT_STREQ(e.what(), "checksum differs");
      EXPECT_EQ(e.where(), "data set numbers (train), sample 17, numbers.bin, byte 12");
      EXPECT_EQ(e.hint(), "copy it again");
      EXPECT_EQ(loader.state(), (LoaderState{0, 16}));
    }
    loader.resume({0, 20});
    EXPECT_EQ(take(loader).indices[0], 20);
  }
}

TEST(Loader, OtherExceptionsKeepTheirFamily) {
  const auto set = numbers(16);
  set->bug_at = 1;
  set->memory_at = 6;
  set->device_at = 10;
  Loader loader(set, {.batch_size = 4, .shuffle = false});
  const InternalError bug = failure<InternalError>(loader);
  EXPECT_STREQ(bug.what(), "vector::at");
  EXPECT_EQ(bug.where(), "data set numbers (train), sample 1");
  loader.resume({0, 4});
  EXPECT_EQ(failure<OutOfMemoryError>(loader).where(), "data set numbers (train), sample 6");
  loader.resume({0, 8});
  Batch batch;
  try {
    loader.next(batch);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), "E0104");
    EXPECT_EQ(e.where(), "data set numbers (train), sample 10");
  }
}

TEST(Loader, LabelsAreCheckedOnEntry) {
  for (const auto& [label, hint] :
       {std::pair<int64_t, const char*>{5,
                                        "labels here run 5..5: they seem to count from 1; shift "
                                        "them by -1"},
        {-1, "labels here run -1..-1; 5 classes were announced"}}) {
    const auto set = numbers(8);
    set->label_at = 3;
    set->label = label;
    Loader loader(set, {.batch_size = 8, .shuffle = false});
    const DataError e = failure<DataError>(loader);
    EXPECT_EQ(e.code(), "E0305");
    EXPECT_EQ(std::string(e.what()), "label " + std::to_string(label) + " is outside 0..4");
    EXPECT_EQ(e.where(), "data set numbers (train), sample 3");
    EXPECT_EQ(e.hint(), hint);
  }
}

TEST(Loader, DamagedSamplesAreReplacedByAFunctionOfThePosition) {
  std::vector<Seen> expected;
  for (const int workers : {0, 1, 3}) {
    const auto set = numbers(50);
    set->damaged = {3, 17, 18, 40};
    Loader loader(set, {.batch_size = 8,
                        .workers = workers,
                        .seed = 9,
                        .on_bad_sample = BadSample::replace,
                        .max_bad = 0.08});
    ::testing::internal::CaptureStderr();
    const std::vector<Seen> stream = take(loader, 2 * 7);
    const std::string log = ::testing::internal::GetCapturedStderr();
    size_t lines = 0;
    for (size_t at = 0; (at = log.find("cannot be read and is replaced", at)) != std::string::npos;
         ++at)
      ++lines;
    EXPECT_EQ(lines, 4u) << "once for each sample, not once for each epoch:\n" << log;
    if (workers == 0)
      expected = stream;
    else
      EXPECT_EQ(stream, expected);
    for (const Seen& seen : stream)
      for (const int64_t index : seen.indices) EXPECT_FALSE(set->damaged.contains(index)) << index;
    loader.resume({1, 16});
    EXPECT_EQ(take(loader), expected[7 + 2]) << "and after a resume";
  }
}

TEST(Loader, TooManyDamagedSamplesAreAnError) {
  for (const int workers : {0, 2}) {
    const auto set = numbers(50);
    set->damaged = {3, 17, 18, 40};
    Loader loader(set, {.batch_size = 50,
                        .workers = workers,
                        .on_bad_sample = BadSample::replace,
                        .max_bad = 0.07});
    for (int i = 0; i < 2; ++i) {
      const DataError e = failure<DataError>(loader);
      EXPECT_EQ(e.code(), "E0311");
      EXPECT_EQ(e.exit_code(), ExitCode::data);
    }
  }
}

/// A state in memory: written by one loader, read by another.
class MemoryState : public StateVisitor {
 public:
  bool reading = false;
  std::map<std::string, Tensor> tensors;
  std::map<std::string, int64_t> numbers;

  void visit(const std::string& name, Tensor& tensor) override {
    if (reading)
      tensor.copy_from(tensors.at(name));
    else
      tensors[name] = tensor.clone();
  }
  void visit(const std::string& name, int64_t& value) override {
    if (reading)
      value = numbers.at(name);
    else
      numbers[name] = value;
  }
  void visit(const std::string&, double&) override { ADD_FAILURE(); }
};

TEST(Loader, ReplacedSamplesAreCountedOverResumes) {
  const auto set = numbers(60);
  set->damaged = {3, 17, 18, 40};
  const LoaderOptions options{.batch_size = 4,
                              .workers = 2,
                              .seed = 9,
                              .on_bad_sample = BadSample::replace,
                              .max_bad = 0.055};  // three of sixty
  // Undisturbed, the fourth damaged sample ends it.
  ::testing::internal::CaptureStderr();
  Loader undisturbed(set, options);
  Batch batch;
  int64_t last = 0;
  const auto run = [&](Loader& loader, int64_t batches) {
    for (int64_t done = 0; done < batches; ++done) loader.next(batch);
  };
  try {
    for (;; ++last) undisturbed.next(batch);
  } catch (const DataError& error) {
    EXPECT_EQ(error.code(), "E0311");
  }
  ASSERT_GT(last, 4);
  ASSERT_LT(last, 15) << "in the first epoch";
  ::testing::internal::GetCapturedStderr();
  for (int64_t stop = 0; stop <= last; ++stop) {
    MemoryState state;
    ::testing::internal::CaptureStderr();
    Loader before(set, options);
    run(before, stop);
    before.visit_state(state);
    state.reading = true;
    Loader after(set, options);
    after.visit_state(state);
    after.resume(before.state());
    EXPECT_NO_THROW(run(after, last - stop)) << "stopped after " << stop;
    EXPECT_THROW(after.next(batch), DataError) << "stopped after " << stop;
    const std::string log = ::testing::internal::GetCapturedStderr();
    size_t lines = 0;
    for (size_t at = 0; (at = log.find("is replaced", at)) != std::string::npos; ++at) ++lines;
    EXPECT_EQ(lines, 4u) << "once for each sample over both:\n" << log;
  }
}

TEST(Loader, NothingReadableEnds) {
  const auto set = numbers(6);
  set->damaged = {0, 1, 2, 3, 4, 5};
  Loader loader(set, {.batch_size = 2, .on_bad_sample = BadSample::replace, .max_bad = 1});
  EXPECT_EQ(failure<DataError>(loader).code(), "E0307");
}

TEST(Loader, AHangingSampleIsNamedAndLeftBehind) {
  const auto set = numbers(20);
  set->hang_at = 9;
  {
    Loader loader(set, {.batch_size = 4, .workers = 2, .shuffle = false, .timeout = 0.2});
    take(loader, 2);
    const DataError e = failure<DataError>(loader);
    EXPECT_EQ(e.code(), "E0312");
    EXPECT_NE(std::string(e.what()).find("stage: reading sample 9"), std::string::npos) << e.what();
    EXPECT_EQ(e.where(), "data set numbers (train)");
    loader.resume({0, 12});  // the stuck worker keeps its old slot
    EXPECT_EQ(take(loader).indices[0], 12);
    loader.resume({0, 8});
    EXPECT_EQ(failure<DataError>(loader).code(), "E0312");
  }  // ends although a worker hangs
  set->release();
  while (set.use_count() > 1) std::this_thread::yield();  // workers let go of everything they hold
}

TEST(Loader, AWaitCanBeInterrupted) {
  const auto set = numbers(20);
  set->hang_at = 5;
  std::atomic<bool> stop{false};
  Loader loader(set,
                {.batch_size = 4, .shuffle = false, .interrupted = [&] { return stop.load(); }});
  take(loader);
  std::thread signal([&] { stop = true; });
  Batch batch;
  EXPECT_FALSE(loader.next(batch));
  signal.join();
  EXPECT_EQ(loader.state(), (LoaderState{0, 4}));
  set->release();
  EXPECT_EQ(take(loader).indices[1], 5) << "and taken up again";
}

TEST(Loader, StopsInTheMiddleOfABatch) {
  const auto set = numbers(100000);
  set->slow = true;  // one batch would take about 15 s
  {
    Loader loader(set, {.batch_size = 100000, .workers = 1, .interrupted = [] { return true; }});
    Batch batch;
    EXPECT_FALSE(loader.next(batch));
  }
  EXPECT_LT(set->calls, 100000);
}

size_t threads() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ++count;
  return count;
}

TEST(Loader, FiftyStartsAndStops) {
  const size_t before = threads();
  for (int64_t i = 0; i < 50; ++i) {
    const auto set = numbers(64);
    set->slow = i % 2 == 0;
    if (i % 3 == 0) set->damaged = {i};
    Loader loader(set, {.batch_size = 4, .workers = 1 + static_cast<int>(i % 4), .shuffle = false});
    Batch batch;
    try {
      for (int64_t batches = 0; batches < i % 17; ++batches) loader.next(batch);
    } catch (const DataError& e) {
      EXPECT_EQ(e.code(), "E0307");
    }
  }
  EXPECT_EQ(threads(), before);
}

TEST(Loader, RequestsNoMemoryForTensorsOnceItRuns) {
  Loader loader(numbers(64), {.batch_size = 8, .workers = 2});
  Batch batch;
  const int64_t before = backend::runtime(Device{}).memory().allocations;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(backend::runtime(Device{}).memory().allocations, before);
}

TEST(Loader, ABatchStaysUntilTheNextOneIsAskedFor) {
  Loader loader(numbers(64), {.batch_size = 8, .workers = 3, .prefetch = 1});
  Batch batch;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(loader.next(batch));
    const Seen first = look(batch);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // workers run on
    EXPECT_EQ(look(batch), first);
  }
}

}  // namespace
}  // namespace sing::data
