// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace gradus {
namespace {

constexpr size_t kMaxDepth = 200;

std::string place(std::string_view text, size_t offset, const std::string& where) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? offset + 1 : offset - newline;
  return cat(where, ":", line, ":", column);
}

// nlohmann's message without its "[json.exception…]" prefix and position, which we give ourselves.
std::string reason(const std::string& message) {
  const size_t syntax = message.find("syntax error");
  std::string text = syntax == std::string::npos ? message : message.substr(syntax);
  return printable(text, 160);
}

// Builds the document from nlohmann's events, because its own builder looks up every new key among
// all keys before it: 40 s for a vocabulary of 150,000. Refuses deep nesting and duplicate keys.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const std::string& where) : where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool end_object() override {
    check_keys(*open_.back()->get_ptr<Json::object_t*>());
    return close();
  }
  bool key(string_t& name) override {
    open_.back()->get_ptr<Json::object_t*>()->emplace_back(std::move(name), nullptr);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    if (const auto* syntax = dynamic_cast<const Json::parse_error*>(&error)) throw *syntax;
    throw Error({.what = "is not valid JSON: " + reason(error.what()), .where = where_});
  }

 private:
  template <class T>
  bool put(T&& value) {
    *slot() = std::forward<T>(value);
    return true;
  }

  // Where the next value goes. Pointers stay good: a container grows only after its last element
  // is complete.
  Json* slot() {
    if (open_.empty()) return &root_;
    Json& parent = *open_.back();
    if (parent.is_object()) return &parent.get_ptr<Json::object_t*>()->back().second;
    return &parent.get_ptr<Json::array_t*>()->emplace_back();
  }

  bool open(Json&& container) {
    if (open_.size() >= kMaxDepth)
      throw Error({.what = "JSON is nested too deeply",
                   .where = where_,
                   .expected = cat("at most ", kMaxDepth, " levels")});
    Json* place = slot();
    *place = std::move(container);
    open_.push_back(place);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  void check_keys(const Json::object_t& object) const {
    std::vector<std::string_view> keys;
    keys.reserve(object.size());
    for (const auto& member : object) keys.push_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return;
    throw Error({.what = cat("duplicate key '", printable(*twice), "'"), .where = where_});
  }

  const std::string& where_;
  Json root_;
  std::vector<Json*> open_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  // nlohmann takes NUL for the end of the text and would leave what follows unread.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error({.what = "is not valid JSON: a NUL byte", .where = place(text, nul, where)});
  }
  try {
    Builder builder(where);
    Json::sax_parse(text.begin(), text.end(), &builder);
    return builder.take();
  } catch (const Json::parse_error& error) {
    throw Error({.what = "is not valid JSON: " + reason(error.what()),
                 .where = place(text, error.byte ? error.byte - 1 : 0, where)});
  }
}

Json read_json(const fs::path& path) { return parse_json(read_file(path), path.string()); }

void write_json(const fs::path& path, const Json& value) {
  write_file_atomic(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

namespace {

void add_leaves(const Json& value, const std::string& key, std::map<std::string, Json>& out) {
  if (!value.is_structured() || value.empty()) {
    out[key] = value;
    return;
  }
  for (const auto& [name, member] : value.items())
    add_leaves(member, key.empty() ? name : cat(key, ".", name), out);
}

}  // namespace

std::map<std::string, Json> flatten_json(const Json& value) {
  std::map<std::string, Json> leaves;
  add_leaves(value, "", leaves);
  return leaves;
}

void json_missing(const std::string& key, const std::string& where) {
  throw Error({.what = "key '" + key + "' is missing", .where = where});
}

void json_wrong_type(const Json& value, const std::string& key, const char* expected,
                     const std::string& where) {
  throw Error({.what = "key '" + key + "' has the wrong type",
               .where = where,
               .expected = expected,
               .found = printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60)});
}

}  // namespace gradus
