#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sing/config/origin.h"
#include "sing/core/error.h"

namespace sing::config {

/// Codes of config errors; `error_codes()` explains them.
namespace code {
inline constexpr const char* kGeneral = "E0200";
inline constexpr const char* kUnknownKey = "E0201";
inline constexpr const char* kSyntax = "E0202";
inline constexpr const char* kRefusedYaml = "E0203";
inline constexpr const char* kDuplicateKey = "E0204";
inline constexpr const char* kTooLarge = "E0205";
inline constexpr const char* kMissingKey = "E0206";
inline constexpr const char* kWrongType = "E0207";
inline constexpr const char* kOutOfRange = "E0208";
inline constexpr const char* kUnknownWord = "E0209";
inline constexpr const char* kUnknownComponent = "E0210";
inline constexpr const char* kConflict = "E0211";
inline constexpr const char* kBadOverride = "E0212";
inline constexpr const char* kExtends = "E0213";
inline constexpr const char* kReference = "E0214";
inline constexpr const char* kUnnamedComponent = "E0215";
inline constexpr const char* kNotSet = "E0216";
inline constexpr const char* kUnreadable = "E0217";
}  // namespace code

struct ErrorCode {
  std::string code, meaning;
};
/// The codes above in order, one sentence each, for `sing explain CODE`.
SING_API std::span<const ErrorCode> error_codes();

/// One thing wrong (code E....) or doubtful (code W....) about a config.
struct Diagnostic {
  std::string code;
  std::string what;        ///< in the user's words, starts in lower case
  Origin origin;           ///< what to underline
  std::string hint;        ///< "did you mean 'lr'?"; may be empty
  std::string known_keys;  ///< "keys of adamw: betas, eps, lr"; may be empty
};

/// Gathers everything wrong with a config, so that all of it is reported in one go. Past the limit
/// problems are only counted: a hostile file must not cost more than it is worth.
class SING_API Problems {
 public:
  explicit Problems(size_t limit = 100) : limit_(limit) {}

  void add(Diagnostic diagnostic);
  void error(const char* error_code, std::string what, const Origin& origin, std::string hint = {});

  std::span<const Diagnostic> errors() const { return errors_; }
  std::span<const Diagnostic> warnings() const { return warnings_; }
  size_t error_count() const { return error_count_; }
  bool ok() const { return error_count_ == 0; }
  bool full() const { return error_count_ >= limit_; }

  /// Throws ConfigErrors when there is any error.
  void raise() const;

 private:
  std::vector<Diagnostic> errors_, warnings_;
  size_t limit_, error_count_ = 0;
};

/// Every error of a config. As a ConfigError it stands for the first one.
class SING_API ConfigErrors : public ConfigError {
 public:
  ConfigErrors(std::vector<Diagnostic> diagnostics, size_t count);
  ~ConfigErrors() override;
  std::span<const Diagnostic> diagnostics() const { return diagnostics_; }
  /// At least diagnostics().size(): those past the limit of Problems are only counted.
  size_t count() const { return count_; }

 private:
  std::vector<Diagnostic> diagnostics_;
  size_t count_;
};

/// "sing-train: error[E0201]: unknown key ..." with place, excerpt, caret, hint and known keys;
/// ends with a newline.
SING_API std::string render(const Diagnostic& diagnostic, std::string_view program);

/// All of them, and the last line "N errors; nothing was started".
SING_API std::string render(const ConfigErrors& errors, std::string_view program);

}  // namespace sing::config
