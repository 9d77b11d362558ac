#pragma once
// Closed typed schemas beside structs. One description drives reading (with every error of a file
// in one go), defaults, printing, `sing explain`, JSON Schema and the bad-config tests.
//
//   struct SingOptions {                                       // options with their defaults
//     bool centralize = true;
//     double eps = 1e-8;
//     std::optional<double> softplus_beta;                     // `null` allowed
//     std::array<double, 2> betas{0.9, 0.999};
//     config::Duration warmup = config::Duration::epochs(5);
//     static void describe(config::Fields<SingOptions>& f) {
//       f("centralize", &SingOptions::centralize, "subtract the mean of each output row");
//       f("eps", &SingOptions::eps, "added to the norm").positive();
//       f("softplus_beta", &SingOptions::softplus_beta, "...").positive();
//       f("betas", &SingOptions::betas, "decay of the moments").range(0, 1, config::Ends::low);
//       f("warmup", &SingOptions::warmup, "...").units({config::Duration::Unit::epochs});
//       f.check([](const SingOptions& o, config::Checker& c) {
//         if (o.betas[1] < o.betas[0]) c.fail("betas", "betas must not decrease");
//       });
//     }
//   };
//
// For a struct that cannot hold `describe`, specialise config::Schema<T> instead. Member types:
// bool, integers, float, double, std::string, enums (see EnumNames), Duration, nested structs,
// Component (sing/config/component.h), Value (kept as written), and std::optional, std::vector,
// std::array and std::map<std::string, T> of these. Limits on a container or optional apply to its
// scalars.
//
// A component's own .cpp holds its one registration; the kind's accessor is in the owning room:
//
//   // include/sing/optim/transform.h
//   using TransformKind = config::ComponentKind<std::unique_ptr<GradientTransform>()>;
//   SING_API TransformKind& transform_kind();     // .cpp: static TransformKind kind("transform");
//   struct OptimizerOptions { std::vector<config::Component<transform_kind>> transforms; ... };
//   // src/optim/sing.cpp
//   const bool registered = transform_kind().add<SingOptions>(
//       "sing", "centre each row, normalise each tensor",
//       [](const SingOptions& o) { return std::make_unique<SingTransform>(o); });
//   // making them:  for (const auto& t : options.transforms) stages.push_back(t.make());
#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sing/config/component.h"
#include "sing/config/type.h"
#include "sing/config/type_of.h"

namespace sing::config {

template <class T>
class Fields;

/// How a struct is described: `T::describe` unless specialised.
template <class T>
struct Schema {
  static void describe(Fields<T>& f) { T::describe(f); }
};

/// Which ends of a range are allowed values.
enum class Ends : uint8_t { both, low, high, none };

namespace detail {

template <class T>
struct LeafOf {
  using type = T;
};
template <class T>
struct LeafOf<std::optional<T>> : LeafOf<T> {};
template <class T>
struct LeafOf<std::vector<T>> : LeafOf<T> {};
template <class T, size_t N>
struct LeafOf<std::array<T, N>> : LeafOf<T> {};
template <class T>
struct LeafOf<std::map<std::string, T>> : LeafOf<T> {};
template <class T>
using Leaf = typename LeafOf<T>::type;

template <class T>
concept Number = std::is_arithmetic_v<Leaf<T>> && !std::same_as<Leaf<T>, bool>;
template <class T>
concept Measure = Number<T> || std::same_as<Leaf<T>, Duration>;
template <class T>
concept Real = std::floating_point<Leaf<T>>;
template <class T>
concept Text = std::same_as<Leaf<T>, std::string>;

}  // namespace detail

/// Modifiers of the key just described; each returns itself. `T` is the struct, `M` the member.
template <class T, class M>
class FieldRef {
 public:
  FieldRef(StructSchema& schema, size_t index) : schema_(&schema), index_(index) {}

  /// > 0
  FieldRef& positive() requires detail::Measure<M> {
    leaf().low = 0;
    leaf().low_open = true;
    return *this;
  }
  /// >= 0
  FieldRef& non_negative() requires detail::Measure<M> {
    leaf().low = 0;
    return *this;
  }
  FieldRef& at_least(double low) requires detail::Measure<M> {
    leaf().low = low;
    return *this;
  }
  FieldRef& at_most(double high) requires detail::Measure<M> {
    leaf().high = high;
    return *this;
  }
  FieldRef& range(double low, double high, Ends ends = Ends::both) requires detail::Measure<M> {
    leaf().low = low;
    leaf().high = high;
    leaf().low_open = ends == Ends::high || ends == Ends::none;
    leaf().high_open = ends == Ends::low || ends == Ends::none;
    return *this;
  }
  /// In [0, 1], and `5%` may be written.
  FieldRef& fraction() requires detail::Real<M> {
    leaf().percent = true;
    return range(0, 1);
  }
  /// `inf` may be written.
  FieldRef& allow_infinite() requires detail::Real<M> {
    leaf().infinite = true;
    return *this;
  }
  /// A text limited to these words (for a fixed set in code, an enum is better).
  FieldRef& one_of(std::vector<std::string> words) requires detail::Text<M> {
    leaf().choices = std::move(words);
    return *this;
  }
  /// The units a duration may have here.
  FieldRef& units(
      std::vector<Duration::Unit> allowed) requires std::same_as<detail::Leaf<M>, Duration> {
    leaf().units = std::move(allowed);
    return *this;
  }
  /// For an optional: this word means "not set" (printed instead of null).
  FieldRef& unset_word(std::string word) {
    field().type.unset_word = std::move(word);
    return *this;
  }
  FieldRef& non_empty() {
    field().type.min_items = 1;
    return *this;
  }
  /// Must be written in the config.
  FieldRef& required() {
    field().required = true;
    return *this;
  }
  /// Shown where the default's value alone would not explain it.
  FieldRef& default_note(std::string note) {
    field().default_note = std::move(note);
    return *this;
  }
  /// For help only: "pixels", "bytes".
  FieldRef& unit(std::string name) {
    field().unit = std::move(name);
    return *this;
  }
  /// When the key is not written, `set(T&)` runs after the other keys of the struct were read
  /// without error; it may set the member and returns why ("because of transforms: [sing]"), or ""
  /// when it left the default alone.
  template <class F>
  FieldRef& derive(F set) {
    field().derive = [set](void* object) -> std::string { return set(*static_cast<T*>(object)); };
    return *this;
  }

 private:
  Field& field() { return schema_->fields[index_]; }
  Type& leaf() { return detail::leaf(field().type); }
  StructSchema* schema_;
  size_t index_;
};

/// Collects the description of struct T.
template <class T>
class Fields {
 public:
  explicit Fields(StructSchema& schema) : schema_(schema) {}

  /// A key held by `member`, which may be a member of a base class.
  template <class M, class Base>
  requires std::is_base_of_v<Base, T> FieldRef<T, M>
  operator()(std::string name, M Base::*member, std::string help) {
    Field field;
    field.name = std::move(name);
    field.help = std::move(help);
    field.offset = offset_of(&(probe_.*member));
    field.type = type_of<M>();
    schema_.fields.push_back(std::move(field));
    return {schema_, schema_.fields.size() - 1};
  }

  /// All keys, checks and words of a base class of T.
  template <class Base>
  requires std::is_base_of_v<Base, T>
  void base() {
    const StructSchema& from = schema_of<Base>();
    const size_t shift = offset_of(static_cast<const Base*>(&probe_));
    for (Field field : from.fields) {
      field.offset += shift;
      if (field.derive)
        field.derive = [derive = field.derive](void* object) {
          return derive(static_cast<Base*>(static_cast<T*>(object)));
        };
      schema_.fields.push_back(std::move(field));
    }
    for (const auto& check : from.checks)
      schema_.checks.push_back([check](const void* object, Checker& checker) {
        check(static_cast<const Base*>(static_cast<const T*>(object)), checker);
      });
    schema_.words.insert(schema_.words.end(), from.words.begin(), from.words.end());
  }

  /// What must hold between keys; runs when all keys of the struct were read without error.
  template <class F>
  void check(F test) {
    schema_.checks.push_back([test](const void* object, Checker& checker) {
      test(*static_cast<const T*>(object), checker);
    });
  }

  /// A word people may try for a key of this struct: its unknown-key error names `use`, a key here
  /// or a path from the root. Common words of other programs are known already.
  void word(std::string tried, std::string use) {
    schema_.words.emplace_back(std::move(tried), std::move(use));
  }

  /// A key that the loader handles before reading, such as `extends`.
  void reserved(std::string name, std::string help) {
    Field field;
    field.name = std::move(name);
    field.help = std::move(help);
    field.reserved = true;
    schema_.fields.push_back(std::move(field));
  }

 private:
  size_t offset_of(const void* member) const {
    return static_cast<size_t>(static_cast<const char*>(member) -
                               reinterpret_cast<const char*>(&probe_));
  }

  StructSchema& schema_;
  T probe_{};
};

/// The description of T, made once.
template <class T>
const StructSchema& schema_of() {
  static const StructSchema schema = [] {
    StructSchema result;
    Fields<T> fields(result);
    Schema<T>::describe(fields);
    result.defaults = [] {
      const T object{};
      return write_struct(schema_of<T>(), &object);
    };
    return result;
  }();
  return schema;
}

}  // namespace sing::config
