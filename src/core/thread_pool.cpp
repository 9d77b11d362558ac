#include "sing/core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sing/core/error.h"

namespace sing {
namespace {

thread_local bool t_in_parallel = false;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// One parallel call. Lives until the last worker has let go of it.
struct Job {
  FunctionRef<void(int64_t)>* body = nullptr;
  int64_t chunks = 0;
  std::atomic<int64_t> next{0}, done{0};
  std::mutex error_mutex;
  std::exception_ptr error;
  int64_t error_chunk = -1;

  void work() {
    for (int64_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      try {
        (*body)(chunk);
      } catch (...) {  // kept for the caller, which throws it again
        const std::lock_guard lock(error_mutex);
        if (error_chunk < 0 || chunk < error_chunk) {
          error = std::current_exception();
          error_chunk = chunk;
        }
      }
      done.fetch_add(1, std::memory_order_release);
    }
  }
};

class Pool {
 public:
  explicit Pool(int threads) { start(threads); }
  ~Pool() { stop(); }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    const std::lock_guard run(run_mutex_);
    stop();
    start(threads);
  }

  void run(int64_t chunks, FunctionRef<void(int64_t)> body) {
    std::unique_lock run(run_mutex_, std::try_to_lock);
    if (!run.owns_lock() || workers_.empty()) {  // busy with another caller's job: do it here
      serial(chunks, body);
      return;
    }
    const auto job = std::make_shared<Job>();
    job->body = &body;
    job->chunks = chunks;
    {
      const std::lock_guard lock(mutex_);
      job_ = job;
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    t_in_parallel = true;
    job->work();
    t_in_parallel = false;
    while (job->done.load(std::memory_order_acquire) < chunks) pause_briefly();
    if (job->error) std::rethrow_exception(job->error);
  }

  static void serial(int64_t chunks, FunctionRef<void(int64_t)> body) {
    const bool before = t_in_parallel;
    t_in_parallel = true;
    try {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
    } catch (...) {
      t_in_parallel = before;
      throw;
    }
    t_in_parallel = before;
  }

 private:
  void start(int threads) {
    threads_ = threads;
    stopping_ = false;
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker(); });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& thread : workers_) thread.join();
    workers_.clear();
  }

  void worker() {
    t_in_parallel = true;
    uint64_t seen = 0;
    for (;;) {
      // Spin about 20 us for the next job, then sleep: a step calls hundreds of them in a row.
      for (int i = 0; i < 400 && generation_.load(std::memory_order_acquire) == seen; ++i)
        pause_briefly();
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        if (generation_.load(std::memory_order_acquire) == seen) {
          sleeping_.fetch_add(1, std::memory_order_release);
          wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
          sleeping_.fetch_sub(1, std::memory_order_release);
        }
        seen = generation_.load(std::memory_order_acquire);
        if (stopping_) return;
        job = job_;
      }
      if (job) job->work();
    }
  }

  std::mutex run_mutex_;  // one job at a time
  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<Job> job_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<int> threads_{1};
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

int processors_by_cgroup() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 16;
  return std::max(1, static_cast<int>(std::strtod(quota.c_str(), nullptr) / period + 0.5));
}

int default_threads() {
  for (const char* name : {"SING_NUM_THREADS", "OMP_NUM_THREADS"}) {
    if (const char* text = std::getenv(name)) {
      const int n = std::atoi(text);
      if (n >= 1) return std::min(n, 1024);
    }
  }
  return available_processors();
}

Pool& pool() {
  static Pool instance(default_threads());
  return instance;
}

}  // namespace

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int n = sched_getaffinity(0, sizeof(set), &set) == 0
              ? CPU_COUNT(&set)
              : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(n, processors_by_cgroup()));
}

int num_threads() {
  return pool().threads();
}

void set_num_threads(int n) {
  if (n < 1)
    throw ConfigError("the number of threads must be at least 1, got " + std::to_string(n));
  if (n != pool().threads()) pool().resize(n);
}

bool in_parallel_region() {
  return t_in_parallel;
}

void parallel_for(int64_t chunks, FunctionRef<void(int64_t)> body) {
  if (chunks <= 0) return;
  if (chunks == 1 || t_in_parallel) {
    Pool::serial(chunks, body);
    return;
  }
  pool().run(chunks, body);
}

void parallel_ranges(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body) {
  SING_ASSERT(grain >= 1);
  const int64_t chunks = n <= 0 ? 0 : (n - 1) / grain + 1;
  parallel_for(chunks,
               [&](int64_t chunk) { body(chunk * grain, std::min(n, (chunk + 1) * grain)); });
}

}  // namespace sing
