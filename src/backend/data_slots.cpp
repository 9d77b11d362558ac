// Slots of data sets and of training: kernels of devices only. On the CPU the data sets make their
// samples, and a copy is a memcpy.
#include "kernels/copies.h"
#include "kernels/rde.h"

namespace sing::kernels {

SING_DEFINE_SLOT(data_copy_many, CopyManyArgs)
SING_DEFINE_SLOT(data_rde_render, RdeRenderArgs)

}  // namespace sing::kernels
