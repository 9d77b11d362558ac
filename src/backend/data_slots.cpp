// Slots of data sets: kernels of devices only. On the CPU the data sets make their samples.
#include "kernels/rde.h"

namespace sing::kernels {

SING_DEFINE_SLOT(data_rde_render, RdeRenderArgs)

}  // namespace sing::kernels
