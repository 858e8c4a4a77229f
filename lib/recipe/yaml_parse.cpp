// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.h"
#include "recipe/yaml_node.h"

namespace gradus {
namespace {

// A syntax error or an exceeded bound: ends the parse of one text.
struct Refused {
  Place place;
  std::string message;
};

// A map or list that is still open.
struct Frame {
  YamlNode node;
  YAML::anchor_t anchor = 0;
  bool has_key = false;  // `key` waits for its value
  YamlEntry key;
  bool key_is_merge = false;
  std::set<std::string> keys;
  std::vector<YamlPtr> merged;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const Place& origin, Problems& problems) : origin_(origin), problems_(problems) {}

  YamlPtr root() const { return root_; }
  Place place(const YAML::Mark& mark) const {
    if (origin_.line == 0) return origin_;
    return {origin_.source, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_)
      throw Refused{place(mark), "a second document starts here; a recipe is one document"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add_leaf({.kind = YamlNode::Kind::kNull, .place = place(mark)}, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    refuse_broken_escapes(mark, value);
    const auto kind = tag == "!" ? YamlNode::Kind::kQuoted : YamlNode::Kind::kPlain;
    add_leaf({.kind = kind, .place = place(mark), .text = value}, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const YamlPtr target = anchor < anchors_.size() ? anchors_[anchor] : nullptr;
    if (!target) throw Refused{place(mark), "an alias may not stand inside its own anchor"};
    count(target->nodes, place(mark));
    if (frames_.size() + depth_of(*target) > kMaxYamlDepth) refuse_depth(mark);
    add(target);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override {
    merge(frames_.back());
    close();
  }

 private:
  void count(size_t nodes, const Place& where) {
    total_ += nodes;
    if (total_ <= kMaxYamlNodes) return;
    throw Refused{where,
                  cat("more than ", kMaxYamlNodes, " values, counting each use of an alias")};
  }
  [[noreturn]] void refuse_depth(const YAML::Mark& mark) {
    throw Refused{place(mark), cat("nested deeper than ", kMaxYamlDepth, " levels")};
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw Refused{place(mark), "tags are not used in recipes (found '" + printable(tag) + "')"};
  }
  // yaml-cpp turns \N and \_ into single bytes that are no UTF-8.
  void refuse_broken_escapes(const YAML::Mark& mark, std::string value) {
    std::replace_if(
        value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; },
        ' ');
    if (first_bad_byte(value) == std::string_view::npos) return;
    throw Refused{place(mark),
                  "the escapes \\N and \\_ are not supported; hint: write \\u0085 or \\u00a0"};
  }
  static size_t depth_of(const YamlNode& node) {
    size_t deepest = 0;
    for (const YamlPtr& item : node.items) deepest = std::max(deepest, depth_of(*item));
    for (const YamlEntry& entry : node.entries) deepest = std::max(deepest, depth_of(*entry.value));
    return deepest + 1;
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    if (frames_.size() >= kMaxYamlDepth) refuse_depth(mark);
    if (!frames_.empty()) require_key(frames_.back(), place(mark));
    count(1, place(mark));
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = place(mark);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }
  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    const auto node = std::make_shared<const YamlNode>(std::move(frame.node));
    remember(frame.anchor, node);
    add(node);
  }
  void add_leaf(YamlNode leaf, YAML::anchor_t anchor) {
    count(1, leaf.place);
    const auto node = std::make_shared<const YamlNode>(std::move(leaf));
    remember(anchor, node);
    add(node);
  }
  void remember(YAML::anchor_t anchor, const YamlPtr& node) {
    if (anchor == 0) return;
    if (anchors_.size() <= anchor) anchors_.resize(anchor + 1);
    anchors_[anchor] = node;
  }

  void add(const YamlPtr& node) {
    if (frames_.empty()) {
      root_ = node;
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlNode::Kind::kList) {
      frame.node.items.push_back(node);
      frame.node.nodes += node->nodes;
    } else if (frame.has_key) {
      add_value(frame, node);
    } else {
      start_entry(frame, *node);
    }
  }
  // Only text can be a key: a map or list in its place is refused when it opens.
  static void require_key(const Frame& frame, const Place& where) {
    if (frame.node.kind == YamlNode::Kind::kMap && !frame.has_key) {
      throw Refused{where, "a key must be text, not a map or list; hint: is a bracket left open?"};
    }
  }
  static void start_entry(Frame& frame, const YamlNode& key) {
    if (!key.is_text()) throw Refused{key.place, "a key must be text, found " + describe(key)};
    frame.has_key = true;
    frame.key = {key.text, key.place, nullptr};
    frame.key_is_merge = key.kind == YamlNode::Kind::kPlain && key.text == "<<";
  }
  std::string full_key(const std::string& last) const {
    std::string key;
    for (const Frame& frame : frames_) {
      const bool is_list = frame.node.kind == YamlNode::Kind::kList;
      if (is_list) key = join_key(key, std::to_string(frame.node.items.size()));
      if (!is_list && &frame != &frames_.back()) key = join_key(key, frame.key.key);
    }
    return join_key(key, last);
  }
  void add_value(Frame& frame, const YamlPtr& node) {
    frame.has_key = false;
    if (frame.key_is_merge) {
      frame.merged.push_back(node);
    } else if (!frame.keys.insert(frame.key.key).second) {
      problems_.add_at(frame.key.place, full_key(frame.key.key), "duplicate key");
    } else {
      frame.key.value = node;
      frame.node.nodes += node->nodes;
      frame.node.entries.push_back(std::move(frame.key));
    }
  }

  // `<<: *base` or `<<: [*a, *b]`: keys written here win, then the earlier map.
  static void merge(Frame& frame) {
    for (const YamlPtr& source : frame.merged) {
      if (source->kind == YamlNode::Kind::kList) {
        for (const YamlPtr& item : source->items) merge_one(frame, *item);
      } else {
        merge_one(frame, *source);
      }
    }
  }
  static void merge_one(Frame& frame, const YamlNode& source) {
    if (source.kind != YamlNode::Kind::kMap) {
      throw Refused{source.place, "'<<' merges maps, found " + describe(source)};
    }
    for (const YamlEntry& entry : source.entries) {
      if (!frame.keys.insert(entry.key).second) continue;
      frame.node.entries.push_back(entry);
      frame.node.nodes += entry.value->nodes;
    }
  }

  Place origin_;
  Problems& problems_;
  std::vector<Frame> frames_;
  std::vector<YamlPtr> anchors_;
  size_t total_ = 0;
  YamlPtr root_;
};

size_t utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

void refuse_bad_bytes(std::string_view text, const Place& origin) {
  const size_t bad = first_bad_byte(text);
  if (bad == std::string_view::npos) return;
  Place place = origin;
  if (origin.line > 0) {
    const std::string_view before = text.substr(0, bad);
    place.line = 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
    place.column = static_cast<int>(bad - (before.rfind('\n') + 1)) + 1;
  }
  char hex[3];
  std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned>(text[bad]) & 0xffu);
  throw Refused{place, cat("byte 0x", hex, " is not allowed (expected UTF-8 text)")};
}

// Whether line `line` (from 0) or the one before starts with a tab: YAML indents with spaces only.
bool indented_by_tab(std::string_view text, int line) {
  std::istringstream lines{std::string(text)};
  std::string current;
  for (int i = 0; i <= line && std::getline(lines, current); ++i) {
    const size_t start = current.find_first_not_of(' ');
    if (i + 1 >= line && start != std::string::npos && current[start] == '\t') return true;
  }
  return false;
}

std::string syntax_message(const YAML::Exception& error, std::string_view text) {
  const std::string message = "not YAML: " + error.msg;
  if (indented_by_tab(text, error.mark.line))
    return message + "; hint: indent with spaces, not tabs";
  if (error.msg == "illegal map value") return message + "; hint: quote text that contains ': '";
  if (error.msg == "unknown token") return message + "; hint: quote text that starts with @ or `";
  return message;
}

}  // namespace

size_t first_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = utf8_length(lead);
    if (length == 0 || i + length > text.size()) return i;
    if ((lead < 0x20 && lead != '\n' && lead != '\r' && lead != '\t')) return i;
    for (size_t j = 1; j < length; ++j) {
      if ((text[i + j] & 0xc0) != 0x80) return i;
    }
    const auto second = static_cast<unsigned char>(length > 1 ? text[i + 1] : 0);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0)) return i;
    if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90)) return i;
    i += length;
  }
  return std::string_view::npos;
}

YamlPtr parse_yaml(std::string_view text, const Place& origin, Problems& problems) {
  TreeBuilder builder(origin, problems);
  try {
    if (text.size() > kMaxYamlBytes) {
      throw Refused{origin, cat("larger than ", kMaxYamlBytes, " bytes")};
    }
    refuse_bad_bytes(text, origin);
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    problems.add_at(refused.place, "", refused.message);
    return nullptr;
  } catch (const YAML::Exception& error) {
    problems.add_at(builder.place(error.mark), "", syntax_message(error, text));
    return nullptr;
  }
  if (builder.root()) return builder.root();
  return std::make_shared<const YamlNode>(YamlNode{.place = origin});
}

std::string read_yaml_file(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    throw Error({.what = "is a folder", .where = path.string(), .expected = "a recipe file"});
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const char* what = fs::exists(path, ignored) ? "cannot be read" : "no such file";
    throw Error({.what = what, .where = path.string()});
  }
  std::string text(kMaxYamlBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad()) throw Error({.what = "cannot be read", .where = path.string()});
  return text;
}

}  // namespace gradus
