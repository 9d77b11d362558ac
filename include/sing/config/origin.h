#pragma once
#include <memory>
#include <string>
#include <vector>

#include "sing/core/export.h"

namespace sing::config {

/// A text that config values come from; kept as lines so that an error can show the place.
struct Source {
  enum class Kind { file, override_word };
  Kind kind = Kind::file;
  std::string name;  ///< path of the file as given, or the whole override word
  std::vector<std::string> lines;
};

/// Where a value or key was written. Without a source the program itself made it (a default).
struct Origin {
  std::shared_ptr<const Source> source;
  int line = 0;    ///< from 1; 0 when unknown
  int column = 0;  ///< from 1, in characters (code points); 0 when unknown
  int length = 0;  ///< characters to mark; 0 when unknown
  std::string
      note;  ///< what else had a say: "environment SING_DATA", "because of transforms: [sing]"
};

/// "configs/a.yaml:8:33", "override 'optimizer.host.lr=abc'", or "default".
SING_API std::string place(const Origin& origin);

/// The short form printed beside values: "configs/a.yaml:8", "override", "default because of ...",
/// "configs/a.yaml:8, environment SING_DATA".
SING_API std::string origin_comment(const Origin& origin);

}  // namespace sing::config
