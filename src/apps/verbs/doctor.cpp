#include <unistd.h>

#include <cstdio>

#include "apps/verb.h"
#include "sing/backend/plugin.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/core/json.h"
#include "sing/train/environment.h"

namespace sing::apps {
namespace {

/// What is there and, where something is not, why.
JsonValue examine() {
  JsonValue facts = train::environment_facts();
  facts.set("cpu", backend::runtime({}).description());
  try {
    facts.set("cuda", backend::runtime({DeviceType::cuda, 0}).description());
  } catch (const Error& error) {  // also of a driver that does not let this process in
    facts.set("cuda", std::string("not usable: ") + error.what());
  }
  if (const auto& state = backend::backend_state(DeviceType::cuda); !state.library.empty())
    facts.set("cuda_library", state.library);
  const auto room = posix_file_system().free_bytes(".");
  if (room.ok())
    facts.set("disk_free_gib", static_cast<double>(room.value()) / (1024.0 * 1024.0 * 1024.0));
  JsonValue faults = JsonValue::array();
  if (access(".", W_OK) != 0) faults.push_back("this folder is not writable: runs need -o DIR");
  if (room.ok() && room.value() < (uint64_t{1} << 30))
    faults.push_back("less than 1 GiB is free here");
  if (backend::cpu_isa() == "base")
    faults.push_back("the processor has no AVX2: training will be slow");
  if (geteuid() == 0) faults.push_back("running as root: not needed, and not advised");
  facts.set("faults", faults);
  return facts;
}

int run(const Arguments& arguments) {
  no_words(arguments, "doctor");
  const JsonValue facts = examine();
  if (arguments.has("json")) {
    std::printf("%s\n", to_json(facts, {.indent = 2}).c_str());
    return 0;
  }
  for (const auto& [name, value] : facts.as_object()) {
    if (value.is_array()) {
      std::printf("%-14s %s\n", name.c_str(), value.as_array().empty() ? "none" : "");
      for (const JsonValue& item : value.as_array())
        std::printf("  - %s\n", item.as_string().c_str());
    } else {
      std::printf("%-14s %s\n", name.c_str(),
                  value.is_string() ? value.as_string().c_str() : to_json(value).c_str());
    }
  }
  return 0;
}

const bool registered = register_verb({
    .name = "doctor",
    .usage = "[--json]",
    .sentence = "Says what this machine offers, and what is wrong with it.",
    .examples = {"sing doctor --json"},
    .options = {},
    .run = run,
});

}  // namespace
}  // namespace sing::apps
