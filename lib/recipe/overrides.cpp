// SPDX-License-Identifier: Apache-2.0
#include "recipe/overrides.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/error.h"

namespace gradus {
namespace {

struct Override {
  Place place;
  std::string key;
  std::vector<std::string> path;
  bool appends = false;
  YamlPtr value;
};

// Why one override cannot be applied; ends it.
struct BadOverride {
  std::string message;
};

std::vector<std::string> split_key(const std::string& key) {
  std::vector<std::string> path;
  for (size_t start = 0; start <= key.size();) {
    const size_t dot = std::min(key.find('.', start), key.size());
    path.push_back(key.substr(start, dot - start));
    if (path.back().empty()) throw BadOverride{"expected key=value or key.sub=value"};
    start = dot + 1;
  }
  return path;
}

Override parse_override(const std::string& text, const Place& place) {
  Override override;
  override.place = place;
  if (first_bad_byte(text) != std::string::npos) {
    throw BadOverride{"has a byte that is not allowed (expected UTF-8 text)"};
  }
  const size_t equals = text.find('=');
  if (equals == std::string::npos) throw BadOverride{"expected key=value or key.sub=value"};
  override.appends = equals > 0 && text[equals - 1] == '+';
  override.key = text.substr(0, equals - (override.appends ? 1 : 0));
  override.path = split_key(override.key);
  if (override.path.size() >= kMaxYamlDepth) throw BadOverride{"nested too deeply"};
  return override;
}

YamlPtr appended(const YamlPtr& old, const Override& override) {
  YamlNode list{.kind = YamlNode::Kind::kList, .place = override.place};
  if (old && old->kind == YamlNode::Kind::kList)
    list = *old;
  else if (old && old->kind != YamlNode::Kind::kNull) {
    throw BadOverride{"'+=' appends to a list, found " + describe(*old)};
  }
  list.items.push_back(override.value);
  return std::make_shared<const YamlNode>(std::move(list));
}

YamlPtr with_value(const YamlPtr& old, const Override& override, std::span<const std::string> path);

YamlPtr in_list(const YamlNode& old, const Override& override, std::span<const std::string> path) {
  const std::string& segment = path.front();
  size_t index = 0;
  const auto [end, error] = std::from_chars(segment.data(), segment.data() + segment.size(), index);
  if (error != std::errc() || end != segment.data() + segment.size()) {
    throw BadOverride{"'" + printable(segment) + "' should be the number of a list item"};
  }
  if (index >= old.items.size()) {
    throw BadOverride{cat("there is no item ", index, ": the list has ", old.items.size(),
                          " (counted from 0; '+=' appends)")};
  }
  YamlNode list = old;
  list.items[index] = with_value(old.items[index], override, path.subspan(1));
  return std::make_shared<const YamlNode>(std::move(list));
}

YamlPtr in_map(const YamlPtr& old, const Override& override, std::span<const std::string> path) {
  YamlNode map{.kind = YamlNode::Kind::kMap, .place = old ? old->place : override.place};
  if (old && old->kind == YamlNode::Kind::kMap) map = *old;
  const auto same = [&](const YamlEntry& entry) { return entry.key == path.front(); };
  auto entry = std::find_if(map.entries.begin(), map.entries.end(), same);
  if (entry == map.entries.end()) {
    entry = map.entries.insert(entry, {path.front(), override.place, nullptr});
  }
  entry->value = with_value(entry->value, override, path.subspan(1));
  if (path.size() == 1 && !override.appends) entry->place = override.place;
  return std::make_shared<const YamlNode>(std::move(map));
}

YamlPtr with_value(const YamlPtr& old, const Override& override,
                   std::span<const std::string> path) {
  if (path.empty()) return override.appends ? appended(old, override) : override.value;
  if (old && old->kind == YamlNode::Kind::kList) return in_list(*old, override, path);
  if (old && old->is_text()) {
    throw BadOverride{"'" + printable(path.front()) + "' is below " + describe(*old) +
                      ", which is not a map"};
  }
  return in_map(old, override, path);
}

YamlPtr apply_one(const YamlPtr& root, const std::string& text, Problems& problems) {
  const Place place{std::make_shared<const std::string>("override '" + printable(text) + "'")};
  Override override;
  try {
    override = parse_override(text, place);
    const std::string value = text.substr(text.find('=') + 1);
    override.value = parse_yaml(value, place, problems);
    return override.value ? with_value(root, override, override.path) : root;
  } catch (const BadOverride& bad) {
    problems.add_at(place, override.key, bad.message);
    return root;
  }
}

}  // namespace

YamlPtr apply_overrides(YamlPtr root, const std::vector<std::string>& overrides,
                        Problems& problems) {
  for (const std::string& text : overrides) root = apply_one(root, text, problems);
  return root;
}

}  // namespace gradus
