#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "sing/core/export.h"
#include "sing/core/json.h"

namespace sing::train {

/// What status.json says of a run.
struct RunStatus {
  std::string state;  ///< running | finished | failed | preempted
  int exit_code = 0;
  std::string reason;       ///< one sentence; "max_steps" for a run ended early on request
  std::string config_hash;  ///< of the resolved config, what makes "the same run"
  int64_t step = 0;
  int64_t failed_step = -1;  ///< step of the last failure
  int64_t failures = 0;      ///< in a row at that step

  JsonValue to_json() const;
  static RunStatus from_json(const JsonValue& value);
};

/// One folder per run; everything shown can be rebuilt from it.
class SING_API RunFolder {
 public:
  /// Makes `<root>/<name>/<YYYYMMDD-HHMMSS>-<4 chars>/` and points `<root>/<name>/latest` at it.
  /// Throws CheckpointError E0401 when it cannot.
  static RunFolder create(const std::string& root, const std::string& name);
  /// An existing one: a folder with status.json, or a folder whose `latest` leads to one. Throws
  /// CheckpointError E0402 otherwise.
  static RunFolder open(const std::string& path);
  /// Whether `path` is or leads to a run.
  static bool is_run(const std::string& path);

  const std::string& path() const { return path_; }
  /// "rde_vit_s/20261121-170902-k3f9".
  std::string id() const;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string checkpoints() const { return file("checkpoints"); }

  std::optional<RunStatus> status() const;  ///< nullopt when absent or damaged
  void write_status(const RunStatus& status) const;
  void write_text(const std::string& name, const std::string& text) const;

 private:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// The newest run under `<root>/<name>` that did not finish, whose config hash is equal and whose
/// lock is free. `further`: runs that ended on max_steps count too.
SING_API std::optional<RunFolder> find_unfinished(const std::string& root, const std::string& name,
                                                  const std::string& config_hash,
                                                  std::optional<int64_t> max_steps);

}  // namespace sing::train
