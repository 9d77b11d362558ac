// AdaFactor (Shazeer & Stern 2018) as in fairseq, except that the rate of a tensor stays its own:
// there an external rate and scale_parameter compound. A step is clipped to a root mean square of
// clip_threshold; torch adds eps1 differently, others clip the wrong way round.
#if defined(SING_OPTIM_DEVICE)
#include "optim/hosts/adafactor_device.h"
#else
#include "optim/hosts/adafactor_cpu.h"
#endif

namespace sing::optim {
namespace {

const bool registered = add_host<AdaFactorOptions>(
    "adafactor", "adaptive steps with a second moment by rows and columns",
    [](const AdaFactorOptions& o) { return std::make_unique<AdaFactor>(o); });

}  // namespace
}  // namespace sing::optim
