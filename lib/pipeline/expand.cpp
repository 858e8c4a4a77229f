// SPDX-License-Identifier: Apache-2.0
#include "pipeline/expand.h"

#include <algorithm>

#include "base/error.h"

namespace gradus {
namespace {

using Kind = YamlNode::Kind;

YamlPtr share(YamlNode node) { return std::make_shared<const YamlNode>(std::move(node)); }

const YamlNode* find(const YamlNode& map, const std::string& key) {
  for (const YamlEntry& entry : map.entries) {
    if (entry.key == key) return entry.value.get();
  }
  return nullptr;
}

std::vector<std::string> names_of(const Variables& variables) {
  std::vector<std::string> names;
  for (const auto& [name, value] : variables) names.push_back(name);
  return names;
}

class Expander {
 public:
  Expander(const Variables& variables, Problems& problems)
      : variables_(variables), problems_(problems) {}

  std::string text(const YamlNode& node) {
    std::string out;
    for (size_t i = 0; i < node.text.size();) {
      if (node.text.compare(i, 3, "$${") == 0) {
        out += "${";
        i += 3;
      } else if (node.text.compare(i, 2, "${") == 0) {
        i = variable(node, i, out);
      } else {
        out += node.text[i++];
      }
    }
    return out;
  }

 private:
  // Appends the value of the variable at `start`; returns where the text goes on.
  size_t variable(const YamlNode& node, size_t start, std::string& out) {
    const size_t end = node.text.find('}', start);
    if (end == std::string::npos) {
      problems_.add_at(node.place, "", "'${' without '}' (write $${ for the characters)");
      return node.text.size();
    }
    const std::string name = node.text.substr(start + 2, end - start - 2);
    const auto found = variables_.find(name);
    if (found == variables_.end()) {
      problems_.add_at(
          node.place, "",
          unknown_name("unknown variable ${" + printable(name) + "}", name, names_of(variables_)));
    } else {
      out += found->second;
    }
    return end + 1;
  }

  const Variables& variables_;
  Problems& problems_;
};

YamlPtr merge_entry(const YamlPtr& base, const std::string& key, const YamlEntry& over) {
  const size_t dot = key.find('.');
  const std::string first = key.substr(0, dot);
  YamlNode map{.kind = Kind::kMap, .place = over.place};
  if (base && base->kind == Kind::kMap) map = *base;
  auto entry = std::find_if(map.entries.begin(), map.entries.end(),
                            [&](const YamlEntry& other) { return other.key == first; });
  if (entry == map.entries.end()) entry = map.entries.insert(entry, {first, over.place, nullptr});
  if (dot == std::string::npos) {
    entry->value = merge_trees(entry->value, over.value);
    entry->place = over.place;
  } else {
    entry->value = merge_entry(entry->value, key.substr(dot + 1), over);
  }
  return share(std::move(map));
}

// The number of the stage that is called `name`, and whether it has a recipe_file.
struct StagePlace {
  size_t index;
  bool has_file;
};

StagePlace find_stage(const YamlNode& stages, const std::string& name) {
  std::vector<std::string> names;
  for (size_t i = 0; i < stages.items.size(); ++i) {
    const YamlNode* stage_name = find(*stages.items[i], "name");
    if (!stage_name) continue;
    names.push_back(stage_name->text);
    if (stage_name->text == name) return {i, find(*stages.items[i], "recipe_file") != nullptr};
  }
  const bool number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  if (number && name.size() < 6 && std::stoul(name) < stages.items.size()) {
    const size_t index = std::stoul(name);
    return {index, find(*stages.items[index], "recipe_file") != nullptr};
  }
  throw Error({.what = unknown_name("unknown stage", name, names),
               .where = "override stages." + printable(name)});
}

// Quotes around nothing but a variable are there for YAML's {…} maps; the value is read as if it
// stood there itself, so that "${steps}" can be a number.
bool is_one_variable(const std::string& text) {
  return text.starts_with("${") && text.find('}') == text.size() - 1;
}

}  // namespace

YamlPtr expand_variables(const YamlPtr& tree, const Variables& variables, Problems& problems) {
  YamlNode node = *tree;
  if (node.kind == Kind::kQuoted && is_one_variable(node.text)) node.kind = Kind::kPlain;
  if (node.is_text()) node.text = Expander(variables, problems).text(*tree);
  for (YamlPtr& item : node.items) item = expand_variables(item, variables, problems);
  for (YamlEntry& entry : node.entries)
    entry.value = expand_variables(entry.value, variables, problems);
  return share(std::move(node));
}

YamlPtr expand_pipeline(const YamlPtr& root, Problems& problems) {
  Variables variables;
  if (const YamlNode* out = find(*root, "out"); out && out->is_text()) variables["out"] = out->text;
  YamlNode expanded = *root;
  for (YamlEntry& entry : expanded.entries) {
    if (entry.key != "vars" || entry.value->kind != Kind::kMap) continue;
    YamlNode vars = *entry.value;
    for (YamlEntry& variable : vars.entries) {
      if (variable.key == "out")
        problems.add_at(variable.place, "vars.out", "is always the pipeline's own out");
      variable.value = expand_variables(variable.value, variables, problems);
      variables[variable.key] = variable.value->text;
    }
    entry.value = share(std::move(vars));
  }
  for (YamlEntry& entry : expanded.entries) {
    if (entry.key == "stages") entry.value = expand_variables(entry.value, variables, problems);
  }
  return share(std::move(expanded));
}

YamlPtr merge_trees(const YamlPtr& base, const YamlPtr& over) {
  if (over->kind != Kind::kMap) return over;
  YamlPtr merged =
      base && base->kind == Kind::kMap ? base : share({.kind = Kind::kMap, .place = over->place});
  for (const YamlEntry& entry : over->entries) merged = merge_entry(merged, entry.key, entry);
  return merged;
}

std::vector<std::string> number_stages(const std::vector<std::string>& overrides,
                                       const YamlNode& root) {
  const std::string prefix = "stages.";
  const YamlNode* stages = find(root, "stages");
  std::vector<std::string> numbered;
  for (const std::string& text : overrides) {
    const size_t name_end = text.find_first_of(".=", prefix.size());
    if (!stages || !text.starts_with(prefix) || name_end == std::string::npos) {
      numbered.push_back(text);
      continue;
    }
    const StagePlace stage =
        find_stage(*stages, text.substr(prefix.size(), name_end - prefix.size()));
    std::string rest = text.substr(name_end);
    if (stage.has_file && rest.starts_with(".recipe.")) rest.replace(0, 7, ".overrides");
    numbered.push_back(cat(prefix, stage.index, rest));
  }
  return numbered;
}

}  // namespace gradus
