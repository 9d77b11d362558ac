#include "sing/train/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "sing/core/error.h"

namespace sing::train {
namespace {

constexpr std::array<int, 3> kSignals = {SIGTERM, SIGINT, SIGUSR1};
std::atomic<int> g_stop{0};
std::array<struct sigaction, kSignals.size()> g_before;
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free data");

extern "C" void sing_on_stop_signal(int number) {
  int none = 0;
  // The second one means now: no time to save is wanted.
  if (!g_stop.compare_exchange_strong(none, number)) _exit(128 + number);
}

}  // namespace

StopSignals::StopSignals() {
  struct sigaction action {};
  action.sa_handler = sing_on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &g_before[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &g_before[i], nullptr);
}

int stop_signal() {
  return g_stop.load();
}
void request_stop(int number) {
  g_stop.store(number);
}
void clear_stop_request() {
  g_stop.store(0);
}

const char* signal_name(int number) {
  switch (number) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "a signal";
  }
}

}  // namespace sing::train
