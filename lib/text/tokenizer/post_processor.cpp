// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/post_processor.h"

#include <algorithm>

#include "text/tokenizer/component.h"

namespace gradus {
namespace {

constexpr size_t kMaxTemplateTokens = 1 << 12;

TokenId read_id(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value > INT32_MAX / 2)
    throw Error({.what = "special token has no usable id", .where = where});
  return value.get<TokenId>();
}

// Special tokens as an encoding, with spans at byte `at` if the others have any.
Encoding special_part(const std::vector<TokenId>& ids, bool spans, size_t at) {
  Encoding part{.ids = ids, .spans = {}};
  if (spans) part.spans.assign(ids.size(), ByteSpan{at, at});
  return part;
}

void append(Encoding& to, const Encoding& part) {
  to.ids.insert(to.ids.end(), part.ids.begin(), part.ids.end());
  to.spans.insert(to.spans.end(), part.spans.begin(), part.spans.end());
}

bool has_spans(const std::vector<Encoding>& parts) {
  for (const Encoding& part : parts) {
    if (!part.ids.empty() && part.spans.empty()) return false;
  }
  return true;
}

size_t end_of(const Encoding& part) { return part.spans.empty() ? 0 : part.spans.back().end; }

std::vector<TokenId> template_ids(const Json& tokens, const std::string& name,
                                  const std::string& where) {
  std::vector<TokenId> ids;
  for (const Json& id : json_array(json_member(tokens, name, where), "ids", where))
    ids.push_back(read_id(id, where));
  return ids;
}

// A piece of a template: special tokens, or a part of what is processed.
struct TemplatePiece {
  int part = -1;
  std::vector<TokenId> ids = {};
};
using Template = std::vector<TemplatePiece>;

Template read_template(const Json& component, const char* key, const std::string& where) {
  const Json& tokens = json_member(component, "special_tokens", where);
  Template made;
  size_t count = 0;
  for (const Json& piece : json_array(component, key, where)) {
    if (piece.contains("Sequence")) {
      const auto id = json_get<std::string>(piece.at("Sequence"), "id", where);
      if (id != "A" && id != "B")
        throw Error({.what = "template names an unknown text", .where = where, .found = id});
      made.push_back({.part = id == "A" ? 0 : 1});
      continue;
    }
    const std::string name =
        json_get<std::string>(json_member(piece, "SpecialToken", where), "id", where);
    made.push_back({.ids = template_ids(tokens, name, where)});
    count += made.back().ids.size();
    if (count > kMaxTemplateTokens || made.size() > kMaxTemplateTokens)
      throw Error({.what = "template has too many tokens", .where = where});
  }
  return made;
}

void check_single(const Template& single, const std::string& where) {
  int texts = 0;
  for (const TemplatePiece& piece : single) {
    texts += piece.part == 0;
    if (piece.part == 1 || texts > 1)
      throw Error({.what = "template for one text must name it once", .where = where});
  }
  if (texts == 0) throw Error({.what = "template leaves the text out", .where = where});
}

PostProcessor make_template(const Json& component, const std::string& where, int) {
  const Template single = read_template(component, "single", where);
  check_single(single, where);
  const Template pair =
      component.contains("pair") ? read_template(component, "pair", where) : Template();
  const auto texts = std::count_if(pair.begin(), pair.end(),
                                   [](const TemplatePiece& piece) { return piece.part >= 0; });
  return [single, pair, texts, where](std::vector<Encoding>& parts) {
    if (parts.size() == 2 && texts > 2)
      throw Error({.what = "template for two texts repeats one", .where = where});
    if (parts.empty() || parts.size() > 2)
      throw Error({.what = "a template cannot follow one that made several parts",
                   .where = where,
                   .found = cat(parts.size(), " parts")});
    const bool spans = has_spans(parts);
    std::vector<Encoding> made;
    for (const TemplatePiece& piece : parts.size() == 1 ? single : pair) {
      const size_t at = made.empty() ? 0 : end_of(made.back());
      made.push_back(piece.part >= 0 ? parts[static_cast<size_t>(piece.part)]
                                     : special_part(piece.ids, spans, at));
    }
    parts = std::move(made);
  };
}

// ["</s>", 2]
TokenId read_named_id(const Json& component, const char* key, const std::string& where) {
  const Json& pair = json_array(component, key, where);
  if (pair.size() != 2) json_wrong_type(pair, key, "[token, id]", where);
  return read_id(pair[1], where + "." + key);
}

// A class token before the first part, a separator behind each; RoBERTa also before the others.
PostProcessor make_ends(const Json& component, const std::string& where, bool roberta) {
  const TokenId first = read_named_id(component, "cls", where);
  const TokenId last = read_named_id(component, "sep", where);
  return [=](std::vector<Encoding>& parts) {
    const bool spans = has_spans(parts);
    for (size_t i = 0; i < parts.size(); ++i) {
      std::vector<TokenId> before;
      if (i == 0 || roberta) before = {i == 0 ? first : last};
      Encoding made = special_part(before, spans, 0);
      append(made, parts[i]);
      append(made, special_part({last}, spans, end_of(parts[i])));
      parts[i] = std::move(made);
    }
  };
}

PostProcessor make_bert(const Json& component, const std::string& where, int) {
  return make_ends(component, where, false);
}

PostProcessor make_roberta(const Json& component, const std::string& where, int) {
  return make_ends(component, where, true);
}

PostProcessor make_byte_level(const Json&, const std::string&, int) {
  return [](std::vector<Encoding>&) {};
}

PostProcessor make_sequence(const Json& component, const std::string& where, int depth) {
  std::vector<PostProcessor> steps;
  for (const Json& step : json_array(component, "processors", where))
    steps.push_back(read_post_processor(step, cat(where, "[", steps.size(), "]"), depth + 1));
  return [steps](std::vector<Encoding>& parts) {
    for (const PostProcessor& step : steps) step(parts);
  };
}

using Maker = PostProcessor (*)(const Json&, const std::string&, int);
constexpr Component<Maker> kPostProcessors[] = {
    {"TemplateProcessing", make_template}, {"ByteLevel", make_byte_level},
    {"RobertaProcessing", make_roberta},   {"BertProcessing", make_bert},
    {"Sequence", make_sequence},
};

}  // namespace

PostProcessor read_post_processor(const Json& component, const std::string& where, int depth) {
  check_component_depth(depth, where);
  const std::string type = json_get<std::string>(component, "type", where);
  return find_component(kPostProcessors, type, where)(component, where, depth);
}

void post_process(const PostProcessor& processor, Encoding& encoding) {
  std::vector<Encoding> parts;
  parts.push_back(std::move(encoding));
  processor(parts);
  encoding = {};
  for (const Encoding& part : parts) append(encoding, part);
}

}  // namespace gradus
