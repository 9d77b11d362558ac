#pragma once
#include <any>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <vector>

#include "sing/config/type.h"
#include "sing/core/error.h"

namespace sing::config {

template <class T>
const StructSchema& schema_of();

/// What can stand behind one name of a kind, without its C++ type.
struct ComponentEntry {
  std::string name, help;
  const StructSchema& (*schema)() = nullptr;
  std::shared_ptr<const void> defaults;                  ///< an options struct
  std::shared_ptr<void> (*copy)(const void*) = nullptr;  ///< of an options struct
  std::type_index options_type = std::type_index(typeid(void));
};

/// The names of one kind of component (transforms, hosts, data sets, ...), sorted.
class SING_API ComponentKindBase {
 public:
  explicit ComponentKindBase(std::string kind);
  virtual ~ComponentKindBase();
  ComponentKindBase(const ComponentKindBase&) = delete;
  ComponentKindBase& operator=(const ComponentKindBase&) = delete;

  const std::string& kind() const { return kind_; }  ///< in messages: "host", "data set"
  const ComponentEntry* find(std::string_view name) const;
  /// Throws ConfigError with the nearest name.
  const ComponentEntry& get(std::string_view name) const;
  std::vector<std::string> names() const;

 protected:
  void add_entry(ComponentEntry entry);  ///< throws InternalError when the name is taken

 private:
  std::string kind_;
  std::map<std::string, ComponentEntry, std::less<>> entries_;
};

/// A chosen component before it is made: its name and its options.
class SING_API ComponentBase {
 public:
  ComponentBase() = default;
  explicit ComponentBase(std::string name) : name_(std::move(name)) {}
  ComponentBase(std::string name, std::shared_ptr<const void> options)
      : name_(std::move(name)), options_(std::move(options)) {}

  const std::string& name() const { return name_; }
  bool empty() const { return name_.empty(); }
  /// The options, those registered as defaults when none were given. Throws ConfigError for a name
  /// that `kind` does not have.
  const void* options(const ComponentKindBase& kind) const;

 private:
  std::string name_;
  std::shared_ptr<const void> options_;
};

/// The components of one kind; `Signature` is what making one takes beside its options, for example
/// ComponentKind<std::unique_ptr<GradientTransform>(const TensorMeta&)>. One accessor function per
/// kind, in the room that owns it, so that every library sees the same object.
template <class Signature>
class ComponentKind;

template <class Result, class... Arguments>
class ComponentKind<Result(Arguments...)> : public ComponentKindBase {
 public:
  using ComponentKindBase::ComponentKindBase;

  /// Registers `make`, called as make(const Options&, Arguments...). Used once, at namespace scope
  /// of the component's own .cpp. `defaults` lets two names share a struct with different defaults.
  template <class Options, class Make>
  bool add(std::string name, std::string help, Make make, Options defaults = {}) {
    ComponentEntry entry{name,
                         std::move(help),
                         &schema_of<Options>,
                         std::make_shared<Options>(std::move(defaults)),
                         [](const void* from) -> std::shared_ptr<void> {
                           return std::make_shared<Options>(*static_cast<const Options*>(from));
                         },
                         std::type_index(typeid(Options))};
    add_entry(std::move(entry));
    makers_.emplace(
        std::move(name),
        [make = std::move(make)](const void* options, Arguments... arguments) -> Result {
          return make(*static_cast<const Options*>(options), std::forward<Arguments>(arguments)...);
        });
    return true;
  }

  /// Throws ConfigError for an unknown name.
  Result make(const ComponentBase& component, Arguments... arguments) const {
    const void* options = component.options(*this);
    return makers_.at(component.name())(options, std::forward<Arguments>(arguments)...);
  }

 private:
  std::map<std::string, std::function<Result(const void*, Arguments...)>> makers_;
};

/// A member of an options struct that holds a component of the kind `Kind()`:
///   config::Component<transform_kind> stage{"sing"};
/// In YAML: the bare word `sing` or `{name: sing, eps: 1e-8}`. Without a default name the key is
/// required; std::optional and std::vector of it work as for any type.
template <auto Kind>
class Component : public ComponentBase {
 public:
  Component() = default;
  Component(const char* name) : ComponentBase(name) {}  // NOLINT: a bare word stands for it
  Component(std::string name) : ComponentBase(std::move(name)) {}  // NOLINT
  /// Throws ConfigError for an unknown name, InternalError for options of another component.
  template <class Options>
  Component(std::string name, Options options)
      : ComponentBase(name, std::make_shared<const Options>(std::move(options))) {
    if (Kind().get(name).options_type != std::type_index(typeid(Options)))
      throw InternalError("these are not the options of " + Kind().kind() + " '" + name + "'");
  }

  /// nullptr when the options are of another type.
  template <class Options>
  const Options* options_as() const {
    return Kind().get(name()).options_type == std::type_index(typeid(Options))
               ? static_cast<const Options*>(options(Kind()))
               : nullptr;
  }

  template <class... Arguments>
  auto make(Arguments&&... arguments) const {
    return Kind().make(*this, std::forward<Arguments>(arguments)...);
  }
};

SING_API void read_component(const Type& type, const Value& value, ComponentBase& out,
                             Reader& reader);
SING_API Value write_component(const Type& type, const ComponentBase& in);

}  // namespace sing::config
