// Products with the parts of a backward pass on the device.
#include "support/gradient_product.h"

#include "sing/backend/plugin.h"

namespace sing {
namespace {

TEST(CudaGemmGradients, AgainstSumsInF64) {
  ASSERT_TRUE(backend::backend_state(DeviceType::cuda).usable);
  test::check_gradient_products(DeviceType::cuda, {18, 19});  // the emulated library: even depths
}

}  // namespace
}  // namespace sing
