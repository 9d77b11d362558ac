#pragma once
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "sing/data/loader.h"

namespace sing::data {

/// Batches are numbered through all epochs. Batch g is made in slot g % slots; a slot is free again
/// when its batch was released, so at most `prefetch` batches are ahead of the one in use.
struct Loader::Core : std::enable_shared_from_this<Loader::Core> {
  Core(std::shared_ptr<const Dataset> set, LoaderOptions with);

  /// One batch in the making. Written by the worker that took it, then by the caller of next();
  /// `mutex` hands it over. `reading` alone is looked at from outside meanwhile.
  struct Slot {
    Batch batch;
    bool ready = false;
    int64_t count = 0;                ///< samples in it
    std::vector<int64_t> unreadable;  ///< samples that were replaced
    std::exception_ptr error;
    std::atomic<int64_t> reading{-1};  ///< sample at hand, -1 while none
  };
  struct Worker {
    std::thread thread;
    bool done = false;
  };

  const std::shared_ptr<const Dataset> dataset;
  const LoaderOptions options;
  int64_t batches_per_epoch = 0;
  int64_t last_batch = 0;  ///< one past the last batch ever
  int64_t current = 0;     ///< number of the next batch for the caller

  std::mutex mutex;
  std::condition_variable work, ready;
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<Worker> workers;
  std::atomic<bool> stopping = false;
  int64_t next_taken = 0;  ///< number of the next batch for a worker
  int64_t released = 0;    ///< batches below this one have been given back

  std::set<int64_t> bad;  ///< samples replaced so far; touched by the caller's thread only

  int64_t samples_in(int64_t batch) const;
  Slot& slot_of(int64_t batch) { return *slots[static_cast<size_t>(batch) % slots.size()]; }

  /// Makes batch `g` in its slot; what is thrown is kept there.
  void fill(int64_t g);
  void start();
  /// False when a worker did not end in time and was left behind.
  bool stop();
  /// False when interrupted.
  bool wait_for(int64_t g);
  void run(size_t worker);

 private:
  void read(int64_t g, Slot& slot);
  void read_or_replace(Slot& slot, const BatchWriter& writer, SampleKey key, int64_t position,
                       int64_t row);
};

}  // namespace sing::data
