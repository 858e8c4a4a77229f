// SPDX-License-Identifier: Apache-2.0
#include "quant/ignore.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "model/quantization_config.h"

namespace gradus {
namespace {

std::vector<std::string> projection_names(const Transformer& model) {
  std::vector<std::string> names;
  model.for_each_linear([&](const Linear& layer) {
    for (const LinearPart& part : layer.parts) names.push_back(part.name);
  });
  const std::string& output = model.config().names.output;  // also where it is the embedding
  if (std::find(names.begin(), names.end(), output) == names.end()) names.push_back(output);
  return names;
}

// "lm_head" is the output projection, whatever the family calls it.
bool means(const std::string& written, const std::string& name, const std::string& output) {
  const std::string& pattern = written == "lm_head" ? output : written;
  return module_matches(pattern, name) || name.ends_with("." + pattern);
}

// The three names most like the pattern: ends of names ("down_proj") before full ones.
std::string nearest(const std::string& pattern, const std::vector<std::string>& names) {
  std::vector<std::string> choices;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const std::string leaf = name.substr(name.rfind('.') + 1);
    if (seen.insert(leaf).second) choices.push_back(leaf);
  }
  choices.insert(choices.end(), names.begin(), names.end());
  const std::string plain = pattern.starts_with("re:") ? pattern.substr(3) : pattern;
  std::stable_sort(choices.begin(), choices.end(), [&](const auto& a, const auto& b) {
    return edit_distance(plain, a) < edit_distance(plain, b);
  });
  std::string list;
  for (size_t i = 0; i < std::min<size_t>(3, choices.size()); ++i)
    list += (i == 0 ? "" : i == 2 ? " or " : ", ") + choices[i];
  return list;
}

}  // namespace

std::vector<std::string> ignored_projections(const Transformer& model,
                                             const std::vector<std::string>& patterns) {
  const std::vector<std::string> names = projection_names(model);
  std::set<std::string> ignored;
  for (const std::string& pattern : patterns) {
    bool found = false;
    for (const std::string& name : names) {
      if (!means(pattern, name, model.config().names.output)) continue;
      found = true;
      ignored.insert(name);
    }
    if (found) continue;
    throw Error({.what = "no projection is called '" + printable(pattern) + "'",
                 .where = "ignore",
                 .hint = "did you mean " + nearest(pattern, names) + "?"});
  }
  std::vector<std::string> in_order;
  for (const std::string& name : names) {
    if (ignored.contains(name)) in_order.push_back(name);
  }
  return in_order;
}

}  // namespace gradus
