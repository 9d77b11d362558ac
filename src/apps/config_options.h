#pragma once
#include <string>
#include <vector>

#include "apps/command_line.h"
#include "sing/train/console.h"
#include "sing/train/experiment.h"

namespace sing::apps {

/// The flags of every verb that reads a config: -c, --device, --threads, --seed.
std::vector<Option> config_options();
/// Adds `more` behind `options`.
std::vector<Option> with(std::vector<Option> options, std::vector<Option> more);

/// Files and overrides as typed; the shortcut flags count as overrides behind the others. `-c` may
/// be missing when `config_file` is given.
config::LoadRequest load_request(const Arguments& arguments, const std::string& config_file = {});
/// Reads the config; the name of the run defaults to the first file's stem.
train::LoadedConfig load_config(const config::LoadRequest& request);

train::ConsoleOptions console_options(const Arguments& arguments);

}  // namespace sing::apps
