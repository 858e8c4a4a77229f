// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/normalizer.h"

#include <memory>
#include <vector>

#include "text/tokenizer/base64.h"
#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/precompiled.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxMappedBytes = 6;  // clusters from here on are mapped character by character

// Rewrites character by character: `map(out, c)` appends what stands for c.
template <class Map>
void map_characters(AlignedText& text, Map&& map) {
  TextEditor editor(text);
  const std::string_view view = text.view();
  std::string mapped;
  for (size_t at = 0; at < view.size();) {
    const CodePoint c = decode_utf8(view, at);
    mapped.clear();
    map(mapped, c.value);
    editor.put(mapped, at, at + c.bytes);
    at += c.bytes;
  }
  text = editor.finish();
}

void apply_form(AlignedText& text, NormalForm form) {
  std::optional<TextEditor> editor;
  const bool changed =
      normalize_parts(text.view(), form, [&](size_t begin, size_t end, std::string_view part) {
        if (!editor) editor.emplace(text);
        if (part == text.view().substr(begin, end - begin))
          editor->keep(begin, end);
        else
          editor->put(part, begin, end);
      });
  if (changed) text = editor->finish();
}

template <NormalForm form>
Normalizer make_form(const Json&, const std::string&, int) {
  return [](AlignedText& text) { apply_form(text, form); };
}

Normalizer make_lowercase(const Json&, const std::string&, int) {
  return [](AlignedText& text) { map_characters(text, append_lower); };
}

void strip(AlignedText& text, bool left, bool right) {
  const std::string_view view = text.view();
  size_t begin = 0, end = view.size();
  while (left && begin < end) {
    const CodePoint c = decode_utf8(view, begin);
    if (!is_white_space(c.value)) break;
    begin += c.bytes;
  }
  while (right && end > begin) {
    const CodePoint c = decode_utf8_before(view, end);
    if (!is_white_space(c.value)) break;
    end -= c.bytes;
  }
  if (end - begin < view.size()) text = text.slice(begin, end);
}

Normalizer make_strip(const Json& component, const std::string& where, int) {
  const bool left = json_get<bool>(component, "strip_left", where);
  const bool right = json_get<bool>(component, "strip_right", where);
  return [left, right](AlignedText& text) { strip(text, left, right); };
}

template <bool (*drop)(char32_t)>
void drop_characters(AlignedText& text) {
  map_characters(text, [](std::string& out, char32_t c) {
    if (!drop(c)) append_utf8(out, c);
  });
}

Normalizer make_strip_accents(const Json&, const std::string&, int) {
  return drop_characters<is_combining_mark>;
}

// What is put before the first character takes that character's place in the input.
void prepend(AlignedText& text, const std::string& prefix) {
  if (text.size() == 0) return;
  TextEditor editor(text);
  editor.put(prefix, 0, decode_utf8(text.view(), 0).bytes);
  editor.keep(0, text.size());
  text = editor.finish();
}

Normalizer make_prepend(const Json& component, const std::string& where, int) {
  const std::string prefix = json_get<std::string>(component, "prepend", where);
  return [prefix](AlignedText& text) { prepend(text, prefix); };
}

Normalizer make_replace(const Json& component, const std::string& where, int) {
  const Matcher matcher = read_pattern(component, where);
  const std::string content = json_get<std::string>(component, "content", where);
  return [matcher, content](AlignedText& text) {
    std::vector<Match> matches;
    matcher(text.view(), matches);
    if (!matches.empty() && matches[0].matched && matches[0].end > 0 && !content.empty() &&
        decode_utf8(text.view(), 0).bytes < matches[0].end)
      text.start_late();
    TextEditor editor(text);
    for (const Match& match : matches) {
      if (match.matched)
        editor.put(content, match.begin, match.end);
      else
        editor.keep(match.begin, match.end);
    }
    text = editor.finish();
  };
}

bool is_nmt_dropped(char32_t c) {
  return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
         c == 0x9F;
}

bool is_nmt_space(char32_t c) {
  return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == 0xFFFD;
}

Normalizer make_nmt(const Json&, const std::string&, int) {
  return [](AlignedText& text) {
    map_characters(text, [](std::string& out, char32_t c) {
      if (!is_nmt_dropped(c)) append_utf8(out, is_nmt_space(c) ? U' ' : c);
    });
  };
}

Normalizer make_byte_level(const Json&, const std::string&, int) {
  return [](AlignedText& text) {
    TextEditor editor(text);
    const std::string_view view = text.view();
    for (size_t i = 0; i < view.size(); ++i)
      editor.put(byte_char(static_cast<unsigned char>(view[i])), i, i + 1);
    text = editor.finish();
  };
}

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void clean_for_bert(std::string& out, char32_t c) {
  const bool space = is_white_space(c);
  const bool plain_space = c == '\t' || c == '\n' || c == '\r';
  if (c == 0 || c == 0xFFFD || (!plain_space && is_control(c))) return;
  append_utf8(out, space ? U' ' : c);
}

void space_chinese(std::string& out, char32_t c) {
  if (is_chinese(c)) out += ' ';
  append_utf8(out, c);
  if (is_chinese(c)) out += ' ';
}

Normalizer make_bert(const Json& component, const std::string& where, int) {
  const bool clean = json_get<bool>(component, "clean_text", where);
  const bool chinese = json_get<bool>(component, "handle_chinese_chars", where);
  const bool lower = json_get<bool>(component, "lowercase", where);
  const bool accents = json_get<bool>(component, "strip_accents", lower, where);
  return [=](AlignedText& text) {
    if (clean) map_characters(text, clean_for_bert);
    if (chinese) map_characters(text, space_chinese);
    if (accents) {
      apply_form(text, NormalForm::kNfd);
      drop_characters<is_nonspacing_mark>(text);
    }
    if (lower) map_characters(text, append_lower);
  };
}

void apply_map(AlignedText& text, const CharacterMap& map) {
  const std::string_view view = text.view();
  TextEditor editor(text);
  // What is left out at the start counts to the first character that is not.
  const auto put_text = [&](std::string_view part, size_t begin, size_t end) {
    editor.put(part, editor.size() == 0 ? 0 : begin, end);
  };
  const auto put = [&](size_t begin, size_t end) {
    const auto found = map.find(view.substr(begin, end - begin));
    if (found) put_text(*found, begin, end);
    return found.has_value();
  };
  for (size_t at = 0; at < view.size();) {
    const size_t end = grapheme_end(view, at);
    if (end - at < kMaxMappedBytes && put(at, end)) {
      at = end;
      continue;
    }
    for (size_t next = at; at < end; at = next) {
      next += decode_utf8(view, at).bytes;
      if (!put(at, next)) put_text(view.substr(at, next - at), at, next);
    }
  }
  text = editor.finish();
}

Normalizer make_precompiled(const Json& component, const std::string& where, int) {
  const std::string place = where + ".precompiled_charsmap";
  const auto blob = json_get<std::string>(component, "precompiled_charsmap", where);
  if (blob.empty()) return [](AlignedText&) {};
  const auto bytes = decode_base64(blob);
  if (!bytes) throw Error({.what = "is not base64", .where = place});
  const auto map = std::make_shared<CharacterMap>(*bytes, place);
  return [map](AlignedText& text) { apply_map(text, *map); };
}

Normalizer make_sequence(const Json& component, const std::string& where, int depth) {
  std::vector<Normalizer> steps;
  for (const Json& step : json_array(component, "normalizers", where))
    steps.push_back(read_normalizer(step, cat(where, "[", steps.size(), "]"), depth + 1));
  return [steps](AlignedText& text) {
    for (const Normalizer& step : steps) step(text);
  };
}

using Maker = Normalizer (*)(const Json&, const std::string&, int);
constexpr Component<Maker> kNormalizers[] = {
    {"NFC", make_form<NormalForm::kNfc>},
    {"NFD", make_form<NormalForm::kNfd>},
    {"NFKC", make_form<NormalForm::kNfkc>},
    {"NFKD", make_form<NormalForm::kNfkd>},
    {"Lowercase", make_lowercase},
    {"Strip", make_strip},
    {"StripAccents", make_strip_accents},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"Nmt", make_nmt},
    {"ByteLevel", make_byte_level},
    {"BertNormalizer", make_bert},
    {"Precompiled", make_precompiled},
    {"Sequence", make_sequence},
};

}  // namespace

Normalizer read_normalizer(const Json& component, const std::string& where, int depth) {
  check_component_depth(depth, where);
  const std::string type = json_get<std::string>(component, "type", where);
  return find_component(kNormalizers, type, where)(component, where, depth);
}

}  // namespace gradus
