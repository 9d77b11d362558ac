#include "sing/optim/group.h"

#include "sing/nn/freeze.h"
#include "sing/optim/host.h"

namespace sing::optim {

bool GroupMatch::matches(const nn::Parameter& parameter) const {
  if (!tags.empty()) {
    uint32_t wanted = 0;
    for (const std::string& tag : tags)
      if (const auto known = nn::tag_from_name(tag)) wanted = wanted | *known;
    if ((parameter.tags & wanted) == 0) return false;
  }
  if (name && !nn::fits_pattern(parameter.name, *name)) return false;
  return !ndim || parameter.value.rank() == *ndim;
}

std::string GroupMatch::to_string() const {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (!tags.empty()) {
    std::string list;
    for (const std::string& tag : tags) list += (list.empty() ? "" : ", ") + tag;
    add("tags: [" + list + "]");
  }
  if (name) add("name: " + *name);
  if (ndim) add("ndim: " + std::to_string(*ndim));
  return "{" + text + "}";
}

void GroupMatch::describe(config::Fields<GroupMatch>& f) {
  std::vector<std::string> words;
  for (const nn::Tag tag : nn::all_tags()) words.emplace_back(nn::name_of(tag));
  f("tags", &GroupMatch::tags, "parameters that carry any of these tags").one_of(std::move(words));
  f("name", &GroupMatch::name, "pattern over the whole name; * stands for any text");
  f("ndim", &GroupMatch::ndim, "number of dimensions").range(0, kMaxRank);
  f.check([](const GroupMatch& m, config::Checker& c) {
    if (m.tags.empty() && !m.name && !m.ndim)
      c.fail("", "a group must say what it matches", "give tags, name or ndim");
  });
}

void GroupRule::describe(config::Fields<GroupRule>& f) {
  f("match", &GroupRule::match, "which parameters the group takes").required();
  f("lr_scale", &GroupRule::lr_scale, "factor on the scheduled learning rate").non_negative();
  f("weight_decay", &GroupRule::weight_decay, "instead of the host's")
      .non_negative()
      .default_note("the host's");
  f("decay", &GroupRule::decay, "tensors that weight decay touches").default_note("the host's");
  f("host", &GroupRule::host, "another optimizer proper for these").default_note("the optimizer's");
  f("freeze", &GroupRule::freeze, "not trained: leaves the optimizer and the tape");
}

}  // namespace sing::optim
