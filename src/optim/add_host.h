#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "sing/config/bind.h"
#include "sing/optim/host.h"

namespace sing::optim {

#if defined(SING_OPTIM_DEVICE)
/// The hosts of this backend: what makes them from options as they stand in a config.
using DeviceHosts =
    std::map<std::string, std::function<std::unique_ptr<HostOptimizer>(const config::Value&)>>;
DeviceHosts& device_hosts();
#endif

/// Registers a host, once, at namespace scope of its own .cpp, which is compiled for the CPU and a
/// second time as a part of each device's backend.
template <class Options, class Make>
bool add_host(std::string name, std::string help, Make make, Options defaults = {}) {
#if defined(SING_OPTIM_DEVICE)
  device_hosts().emplace(std::move(name), [make](const config::Value& options) {
    return std::unique_ptr<HostOptimizer>(make(config::bind<Options>(options)));
  });
  (void)help;
  (void)defaults;
  return true;
#else
  return host_kind().add<Options>(std::move(name), std::move(help), std::move(make),
                                  std::move(defaults));
#endif
}

}  // namespace sing::optim
