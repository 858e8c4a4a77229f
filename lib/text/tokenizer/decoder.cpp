// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/decoder.h"

#include <algorithm>

#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/component.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr int64_t kMaxStrip = 1 << 16;

std::string joined(const std::vector<std::string>& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

// An empty `from` stands between all characters, as in Rust.
void put_between(std::string& text, std::string_view to) {
  if (find_invalid_utf8(text)) return;  // bytes of an unfinished character
  std::string out(to);
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = decode_utf8(text, at).bytes;
    out.append(text, at, bytes);
    out += to;
    at += bytes;
  }
  text = std::move(out);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return put_between(text, to);
  std::string out;
  size_t at = 0;
  for (size_t hit; (hit = text.find(from, at)) != std::string::npos; at = hit + from.size()) {
    out.append(text, at, hit - at);
    out += to;
  }
  if (at == 0) return;
  out.append(text, at, std::string::npos);
  text = std::move(out);
}

// A decoder that treats every token alike.
Decoder per_token(std::function<void(std::string&)> change) {
  Decoder made;
  made.run_inside = change;
  made.run = [change](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) change(token);
  };
  return made;
}

// A decoder that treats the first token in its own way.
Decoder first_differs(std::function<void(std::string&)> first,
                      std::function<void(std::string&)> rest) {
  Decoder made;
  made.run_inside = rest;
  made.run = [first, rest](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) (i == 0 ? first : rest)(tokens[i]);
  };
  return made;
}

void to_bytes(std::string& token) {
  if (auto bytes = chars_to_bytes(token)) token = std::move(*bytes);
}

Decoder make_byte_level(const Json&, const std::string&, int) {
  Decoder made{.run_inside = to_bytes, .concatenates = true, .fuses = true};
  made.run = [](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) to_bytes(token);
    tokens = {utf8_lossy(joined(tokens))};
  };
  return made;
}

// Writes a run of byte tokens as text, or one U+FFFD for each when they are not UTF-8.
void flush_bytes(std::string& bytes, std::vector<std::string>& out) {
  if (bytes.empty()) return;
  if (!find_invalid_utf8(bytes))
    out.push_back(bytes);
  else
    out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
  bytes.clear();
}

Decoder make_byte_fallback(const Json&, const std::string&, int) {
  Decoder made{.joins_bytes = true};
  made.run = [](std::vector<std::string>& tokens) {
    std::vector<std::string> out;
    std::string bytes;
    for (std::string& token : tokens) {
      const int byte = byte_token(token);
      if (byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush_bytes(bytes, out);
      out.push_back(std::move(token));
    }
    flush_bytes(bytes, out);
    tokens = std::move(out);
  };
  made.run_inside = [](std::string& token) {
    if (const int byte = byte_token(token); byte >= 0) token = static_cast<char>(byte);
  };
  return made;
}

Decoder make_fuse(const Json&, const std::string&, int) {
  return {.run = [](std::vector<std::string>& tokens) { tokens = {joined(tokens)}; },
          .run_inside = [](std::string&) {},
          .fuses = true};
}

void strip(std::string& token, const std::string& content, int64_t start, int64_t stop) {
  size_t begin = 0, end = token.size();
  for (; start > 0 && token.compare(begin, content.size(), content) == 0; --start)
    begin += content.size();
  for (; stop > 0 && end >= begin + content.size() &&
         token.compare(end - content.size(), content.size(), content) == 0;
       --stop)
    end -= content.size();
  token = token.substr(begin, end - begin);
}

Decoder make_strip(const Json& component, const std::string& where, int) {
  const std::string content = read_character(component, "content", where);
  const auto start = json_get<int64_t>(component, "start", where);
  const auto stop = json_get<int64_t>(component, "stop", where);
  if (start < 0 || stop < 0 || start > kMaxStrip || stop > kMaxStrip)
    throw Error({.what = "strip counts are out of range", .where = where});
  return per_token([=](std::string& token) { strip(token, content, start, stop); });
}

Decoder make_replace(const Json& component, const std::string& where, int) {
  const Matcher matcher = read_pattern(component, where);
  const auto content = json_get<std::string>(component, "content", where);
  return per_token([=](std::string& token) {
    std::vector<Match> matches;
    // Bytes of an unfinished character can only follow a step that no real file has.
    if (find_invalid_utf8(token)) return;
    matcher(token, matches);
    std::string out;
    for (const Match& match : matches)
      out += match.matched ? std::string_view(content)
                           : std::string_view(token).substr(match.begin, match.end - match.begin);
    token = std::move(out);
  });
}

Decoder make_metaspace(const Json& component, const std::string& where, int) {
  const std::string mark = read_character(component, "replacement", where);
  const auto scheme = json_get<std::string>(component, "prepend_scheme", "always", where);
  const bool never =
      scheme == "never" || !json_get<bool>(component, "add_prefix_space", true, where);
  const auto to = [mark](std::string by) {
    return [mark, by](std::string& token) { replace_all(token, mark, by); };
  };
  return first_differs(to(never ? " " : ""), to(" "));
}

void clean_up(std::string& text) {
  static constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

Decoder make_word_piece(const Json& component, const std::string& where, int) {
  const auto prefix = json_get<std::string>(component, "prefix", where);
  const bool cleanup = json_get<bool>(component, "cleanup", where);
  const auto finish = [cleanup](std::string& token) {
    if (cleanup) clean_up(token);
  };
  return first_differs(finish, [prefix, finish](std::string& token) {
    if (token.starts_with(prefix))
      token.erase(0, prefix.size());
    else
      token.insert(0, " ");
    finish(token);
  });
}

// Connectionist temporal classification: repeated tokens are one, and padding is nothing.
Decoder make_ctc(const Json& component, const std::string& where, int) {
  const auto padding = json_get<std::string>(component, "pad_token", where);
  const auto delimiter = json_get<std::string>(component, "word_delimiter_token", where);
  const bool cleanup = json_get<bool>(component, "cleanup", where);
  const auto change = [=](std::string& token) {
    replace_all(token, padding, "");
    if (!cleanup) return;
    clean_up(token);
    replace_all(token, delimiter, " ");
  };
  Decoder made{.run_inside = change};
  made.run = [change](std::vector<std::string>& tokens) {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) change(token);
    std::erase(tokens, "");
  };
  return made;
}

Decoder make_bpe(const Json& component, const std::string& where, int) {
  const auto suffix = json_get<std::string>(component, "suffix", where);
  Decoder made{.run_inside = [suffix](std::string& token) { replace_all(token, suffix, " "); }};
  made.run = [suffix](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
  };
  return made;
}

Decoder make_sequence(const Json& component, const std::string& where, int depth) {
  std::vector<Decoder> steps;
  Decoder made;
  for (const Json& step : json_array(component, "decoders", where)) {
    steps.push_back(read_decoder(step, cat(where, "[", steps.size(), "]"), depth + 1));
    made.joins_bytes |= steps.back().joins_bytes;
    made.fuses |= steps.back().fuses;
  }
  made.concatenates = steps.size() == 1 && steps[0].concatenates;
  made.run = [steps](std::vector<std::string>& tokens) {
    for (const Decoder& step : steps) step.run(tokens);
  };
  // What follows a fusing step concerns the ends of the whole text.
  made.run_inside = [steps](std::string& token) {
    for (const Decoder& step : steps) {
      step.run_inside(token);
      if (step.fuses) return;
    }
  };
  return made;
}

using Maker = Decoder (*)(const Json&, const std::string&, int);
constexpr Component<Maker> kDecoders[] = {
    {"ByteLevel", make_byte_level},
    {"ByteFallback", make_byte_fallback},
    {"Fuse", make_fuse},
    {"Strip", make_strip},
    {"Replace", make_replace},
    {"Metaspace", make_metaspace},
    {"WordPiece", make_word_piece},
    {"BPEDecoder", make_bpe},
    {"CTC", make_ctc},
    {"Sequence", make_sequence},
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

int byte_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = token[3] == '+' ? 0 : hex_digit(token[3]);  // "+F" is a number there, too
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Decoder read_decoder(const Json& component, const std::string& where, int depth) {
  check_component_depth(depth, where);
  const std::string type = json_get<std::string>(component, "type", where);
  return find_component(kDecoders, type, where)(component, where, depth);
}

}  // namespace gradus
