// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/post_processor.h"

#include "text/tokenizer/component.h"

namespace gradus {
namespace {

constexpr size_t kMaxTemplateTokens = 1 << 12;

TokenId read_id(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value > INT32_MAX / 2)
    throw Error({.what = "special token has no usable id", .where = where});
  return value.get<TokenId>();
}

// The tokens before and after the text.
struct Surrounding {
  std::vector<TokenId> before = {}, after = {};
};

void surround(Encoding& encoding, const Surrounding& tokens) {
  const bool spans = !encoding.spans.empty() || encoding.ids.empty();
  const size_t end = encoding.spans.empty() ? 0 : encoding.spans.back().end;
  encoding.ids.insert(encoding.ids.begin(), tokens.before.begin(), tokens.before.end());
  encoding.ids.insert(encoding.ids.end(), tokens.after.begin(), tokens.after.end());
  if (!spans) return;
  encoding.spans.insert(encoding.spans.begin(), tokens.before.size(), ByteSpan{0, 0});
  encoding.spans.insert(encoding.spans.end(), tokens.after.size(), ByteSpan{end, end});
}

std::vector<TokenId> template_ids(const Json& tokens, const std::string& name,
                                  const std::string& where) {
  std::vector<TokenId> ids;
  for (const Json& id : json_array(json_member(tokens, name, where), "ids", where))
    ids.push_back(read_id(id, where));
  return ids;
}

PostProcessor make_template(const Json& component, const std::string& where, int) {
  const Json& tokens = json_member(component, "special_tokens", where);
  Surrounding around;
  int texts = 0;
  for (const Json& piece : json_array(component, "single", where)) {
    if (piece.contains("Sequence")) {
      const auto id = json_get<std::string>(piece.at("Sequence"), "id", where);
      if (id != "A" || ++texts > 1)
        throw Error({.what = "template for one text must name it once", .where = where});
      continue;
    }
    const std::string name =
        json_get<std::string>(json_member(piece, "SpecialToken", where), "id", where);
    for (const TokenId id : template_ids(tokens, name, where))
      (texts == 0 ? around.before : around.after).push_back(id);
  }
  if (texts == 0) throw Error({.what = "template leaves the text out", .where = where});
  if (around.before.size() + around.after.size() > kMaxTemplateTokens)
    throw Error({.what = "template has too many tokens", .where = where});
  return [around](Encoding& encoding) { surround(encoding, around); };
}

// ["</s>", 2]
TokenId read_named_id(const Json& component, const char* key, const std::string& where) {
  const Json& pair = json_array(component, key, where);
  if (pair.size() != 2) json_wrong_type(pair, key, "[token, id]", where);
  return read_id(pair[1], where + "." + key);
}

PostProcessor make_pair(const Json& component, const std::string& where, int) {
  const Surrounding around{.before = {read_named_id(component, "cls", where)},
                           .after = {read_named_id(component, "sep", where)}};
  return [around](Encoding& encoding) { surround(encoding, around); };
}

PostProcessor make_byte_level(const Json&, const std::string&, int) {
  return [](Encoding&) {};
}

PostProcessor make_sequence(const Json& component, const std::string& where, int depth) {
  std::vector<PostProcessor> steps;
  for (const Json& step : json_array(component, "processors", where))
    steps.push_back(read_post_processor(step, cat(where, "[", steps.size(), "]"), depth + 1));
  return [steps](Encoding& encoding) {
    for (const PostProcessor& step : steps) step(encoding);
  };
}

using Maker = PostProcessor (*)(const Json&, const std::string&, int);
constexpr Component<Maker> kPostProcessors[] = {
    {"TemplateProcessing", make_template}, {"ByteLevel", make_byte_level},
    {"RobertaProcessing", make_pair},      {"BertProcessing", make_pair},
    {"Sequence", make_sequence},
};

}  // namespace

PostProcessor read_post_processor(const Json& component, const std::string& where, int depth) {
  check_component_depth(depth, where);
  const std::string type = json_get<std::string>(component, "type", where);
  return find_component(kPostProcessors, type, where)(component, where, depth);
}

}  // namespace gradus
