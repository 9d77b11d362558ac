#include "data/loader_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "data/staging.h"
#include "sing/core/error.h"
#include "sing/core/log.h"
#include "sing/core/random.h"

namespace sing::data {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(50);  // how often an interruption is looked for
constexpr uint64_t kReplacements = 100;                // tries before a batch is given up

Clock::time_point after(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

Loader::Core::Core(std::shared_ptr<const Dataset> set, LoaderOptions with)
    : dataset(std::move(set)), options(std::move(with)) {
  const int64_t n = dataset->size();
  batches_per_epoch = options.drop_last ? n / options.batch_size : (n - 1) / options.batch_size + 1;
  last_batch = options.epochs == 0 ? INT64_MAX : options.epochs * batches_per_epoch;
  const int count = options.workers == 0 ? 1 : options.prefetch + 1;
  for (int i = 0; i < count; ++i) {
    slots.push_back(std::make_unique<Slot>());
    slots.back()->batch = allocate_batch(*dataset, options.batch_size, options.device);
    slots.back()->batch.set("index", staging({options.batch_size}, DType::i64, options.device));
  }
}

int64_t Loader::Core::samples_in(int64_t batch) const {
  const int64_t first = batch % batches_per_epoch * options.batch_size;
  return std::min(options.batch_size, dataset->size() - first);
}

void Loader::Core::read_or_replace(Slot& slot, const BatchWriter& writer, SampleKey key,
                                   int64_t position, int64_t row) {
  Tensor indices = slot.batch.at("index");
  const RandomKey choice{options.seed, Purpose::replacement, key.epoch,
                         static_cast<uint64_t>(position)};
  for (uint64_t attempt = 0;; ++attempt) {
    slot.reading = key.index;
    try {
      writer.read(key, row);
      indices.mutable_data<int64_t>()[row] = key.index;
      return;
    } catch (const DataError&) {
      if (options.on_bad_sample == BadSample::error || attempt == kReplacements) throw;
      slot.unreadable.push_back(key.index);
    }
    key.index =
        static_cast<int64_t>(random_below(choice, attempt, static_cast<uint64_t>(dataset->size())));
  }
}

void Loader::Core::read(int64_t g, Slot& slot) {
  const uint64_t epoch = static_cast<uint64_t>(g / batches_per_epoch);
  const int64_t first = g % batches_per_epoch * options.batch_size;
  const Permutation order({options.seed, Purpose::shuffle, epoch},
                          static_cast<uint64_t>(dataset->size()));
  const BatchWriter writer(*dataset, slot.batch);
  slot.count = samples_in(g);
  for (int64_t row = 0; row < slot.count; ++row) {
    const int64_t position = first + row;
    const int64_t index =
        options.shuffle ? static_cast<int64_t>(order(static_cast<uint64_t>(position))) : position;
    read_or_replace(slot, writer, {index, options.seed, epoch}, position, row);
    if (stopping) return;  // nobody will look at this batch
  }
}

void Loader::Core::fill(int64_t g) {
  Slot& slot = slot_of(g);
  slot.error = nullptr;
  slot.unreadable.clear();
  try {
    read(g, slot);
  } catch (...) {  // thrown again by next(), when it is this batch's turn
    slot.error = std::current_exception();
  }
  slot.reading = -1;
}

void Loader::Core::run(size_t worker) {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const int64_t room = released + static_cast<int64_t>(slots.size());
    if (next_taken >= std::min(room, last_batch)) {
      // A caller may stay away for as long as a step or an evaluation takes: look again and again.
      work.wait_for(lock, std::chrono::seconds(1));
      continue;
    }
    const int64_t g = next_taken++;
    lock.unlock();
    fill(g);
    lock.lock();
    slot_of(g).ready = true;
    ready.notify_all();
  }
  workers[worker].done = true;
  ready.notify_all();
}

void Loader::Core::start() {
  const std::lock_guard lock(mutex);
  next_taken = released = current;
  stopping = false;
  for (const auto& slot : slots) slot->ready = false;
  workers.resize(static_cast<size_t>(options.workers));
  for (size_t i = 0; i < workers.size(); ++i)  // a worker keeps the core alive
    workers[i].thread = std::thread([core = shared_from_this(), i] { core->run(i); });
}

bool Loader::Core::stop() {
  const auto deadline = after(options.timeout);
  std::unique_lock lock(mutex);
  stopping = true;
  work.notify_all();
  const auto ended = [&] {
    return std::all_of(workers.begin(), workers.end(), [](const Worker& w) { return w.done; });
  };
  const bool all = ready.wait_until(lock, deadline, ended);
  std::vector<bool> done;
  for (const Worker& worker : workers) done.push_back(worker.done);
  lock.unlock();
  for (size_t i = 0; i < workers.size(); ++i) {
    if (done[i])
      workers[i].thread.join();
    else
      workers[i].thread.detach();
  }
  if (all)
    workers.clear();
  else
    log_error("data loader: a worker hangs in data set " + dataset->name() + "; it is left behind");
  return all;
}

bool Loader::Core::wait_for(int64_t g) {
  const auto deadline = after(options.timeout);
  Slot& slot = slot_of(g);
  std::unique_lock lock(mutex);
  while (!slot.ready) {
    ready.wait_until(lock, std::min(deadline, Clock::now() + kPoll));
    if (slot.ready) break;
    if (options.interrupted && options.interrupted()) return false;
    if (Clock::now() < deadline) continue;
    const int64_t reading = slot.reading;
    const std::string stage = reading >= 0     ? fmt::format("reading sample {}", reading)
                              : g < next_taken ? "handing over a batch"
                                               : "waiting for a free worker";
    throw DataError(fmt::format("data loader: batch {} did not arrive in {} s; stage: {}", g,
                                options.timeout, stage),
                    "data set " + dataset->name(), "is the storage slow or gone?", "E0312");
  }
  return true;
}

}  // namespace sing::data
