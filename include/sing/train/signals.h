#pragma once
#include "sing/core/export.h"

namespace sing::train {

/// While it lives SIGTERM, SIGINT and SIGUSR1 ask the run to stop: the handler only sets a flag
/// that the loop looks at once per micro-step. A second signal ends the process at once with 128 +
/// its number. One at a time per process.
class SING_API StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
};

/// Number of the signal that asked to stop, 0 for none.
SING_API int stop_signal();
/// "SIGTERM".
SING_API const char* signal_name(int number);
/// For programs that embed the trainer, and for tests: as if the signal had come.
SING_API void request_stop(int number);
SING_API void clear_stop_request();

}  // namespace sing::train
