// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/pre_tokenizer.h"

#include <unicode/uscript.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/component.h"
#include "text/unicode.h"

namespace gradus {
namespace {

// Where a component stands: what to do with bytes, whether it follows a ByteLevel whose bytes were
// left as they are, whether it follows a step that edits the text, and how deep it lies.
struct Context {
  FinalBytes bytes;
  bool after_bytes;
  bool after_edits;
  int depth;
};

class SplitterWords : public WordScanner {
 public:
  explicit SplitterWords(Splitter splitter) : splitter_(std::move(splitter)) {}
  void scan(std::string_view text, std::vector<uint32_t>& ends) const override {
    thread_local std::vector<Match> parts;
    find_parts(splitter_, text, parts);
    for (const Match& part : parts) ends.push_back(static_cast<uint32_t>(part.end));
  }

 private:
  Splitter splitter_;
};

Matcher matcher_of(bool (*predicate)(char32_t), Context context) {
  return context.after_bytes ? match_byte_chars(predicate) : match_code_points(predicate);
}

Matcher matcher_of(Matcher matcher, Context context) {
  return context.after_bytes ? on_byte_chars(std::move(matcher)) : matcher;
}

PreTokenizers splitting(Splitter splitter) {
  PreTokenizers made;
  if (splitter.behavior != SplitBehavior::kRemoved)
    made.words = std::make_shared<SplitterWords>(splitter);
  made.run = [splitter = std::move(splitter)](Pieces& p) { split_pieces(p, splitter); };
  return made;
}

// Rewrites every piece: edit(editor, piece) writes the new text of one.
template <class Edit>
void edit_pieces(Pieces& pieces, Edit&& edit) {
  TextEditor editor(pieces.text);
  for (PieceRange& piece : pieces.ranges) {
    const size_t begin = editor.size();
    edit(editor, piece);
    piece = {begin, editor.size()};
  }
  pieces.text = editor.finish();
}

void put_before(TextEditor& editor, const std::string& prefix, const Pieces& pieces,
                const PieceRange& piece) {
  editor.put(prefix, piece.begin, piece.begin + decode_utf8(pieces.text.view(), piece.begin).bytes);
}

void add_prefix_space(Pieces& pieces) {
  const std::string_view text = pieces.text.view();
  bool needed = false;
  for (const PieceRange& piece : pieces.ranges) needed |= text[piece.begin] != ' ';
  if (!needed) return;
  edit_pieces(pieces, [&](TextEditor& editor, const PieceRange& piece) {
    if (text[piece.begin] != ' ') put_before(editor, " ", pieces, piece);
    editor.keep(piece.begin, piece.end);
  });
}

void write_bytes_as_chars(Pieces& pieces) {
  const std::string_view text = pieces.text.view();
  edit_pieces(pieces, [&](TextEditor& editor, const PieceRange& piece) {
    for (size_t i = piece.begin; i < piece.end; ++i)
      editor.put(byte_char(static_cast<unsigned char>(text[i])), i, i + 1);
  });
}

PreTokenizers make_byte_level(const Json& component, const std::string& where, Context context) {
  const bool prefix = json_get<bool>(component, "add_prefix_space", where);
  const bool use_regex = json_get<bool>(component, "use_regex", true, where);
  json_get<bool>(component, "trim_offsets", where);
  const bool write = context.bytes == FinalBytes::kWritten;
  const Splitter splitter{.matcher = use_regex ? match_regex(kGpt2Pattern, where) : Matcher()};
  PreTokenizers made{.ends_in_bytes = true};
  if (use_regex && !prefix && !write) made.words = find_word_pattern(kGpt2Pattern)->scanner();
  made.is_identity = !prefix && !use_regex && !write;
  made.run = [prefix, write, splitter](Pieces& pieces) {
    if (prefix) add_prefix_space(pieces);
    if (splitter.matcher) split_pieces(pieces, splitter);
    if (write) write_bytes_as_chars(pieces);
  };
  return made;
}

// The expression of a split that isolates words, if it is one that a scanner knows.
std::shared_ptr<const WordScanner> split_scanner(const Json& component, const Splitter& splitter,
                                                 Context context) {
  const Json& pattern = component.at("pattern");
  if (splitter.behavior != SplitBehavior::kIsolated || !pattern.contains("Regex")) return nullptr;
  const WordPattern* known = find_word_pattern(pattern.at("Regex").get<std::string>());
  return known && (known->reads_bytes || !context.after_bytes) ? known->scanner() : nullptr;
}

PreTokenizers make_split(const Json& component, const std::string& where, Context context) {
  const std::string behavior = json_get<std::string>(component, "behavior", where);
  const Splitter splitter{.matcher = matcher_of(read_pattern(component, where), context),
                          .behavior = read_behavior(behavior, where),
                          .invert = json_get<bool>(component, "invert", where)};
  PreTokenizers made = splitting(splitter);
  if (const auto known = split_scanner(component, splitter, context)) made.words = known;
  return made;
}

PreTokenizers make_digits(const Json& component, const std::string& where, Context context) {
  const bool single = json_get<bool>(component, "individual_digits", where);
  return splitting({.matcher = matcher_of(is_numeric, context),
                    .behavior = single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
}

PreTokenizers make_punctuation(const Json& component, const std::string& where, Context context) {
  const auto behavior = json_get<std::string>(component, "behavior", "Isolated", where);
  return splitting(
      {.matcher = matcher_of(is_punctuation, context), .behavior = read_behavior(behavior, where)});
}

PreTokenizers make_whitespace(const Json&, const std::string& where, Context context) {
  Matcher words = match_regex(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+)"
                              R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)",
                              where);
  return splitting({.matcher = matcher_of(std::move(words), context),
                    .behavior = SplitBehavior::kRemoved,
                    .invert = true});
}

PreTokenizers make_whitespace_split(const Json&, const std::string&, Context context) {
  return splitting(
      {.matcher = matcher_of(is_white_space, context), .behavior = SplitBehavior::kRemoved});
}

PreTokenizers make_delimiter(const Json& component, const std::string& where, Context context) {
  Matcher delimiter = match_literal(read_character(component, "delimiter", where));
  return splitting(
      {.matcher = matcher_of(std::move(delimiter), context), .behavior = SplitBehavior::kRemoved});
}

PreTokenizers make_bert(const Json&, const std::string&, Context) {
  const Splitter spaces{.matcher = match_code_points(is_white_space),
                        .behavior = SplitBehavior::kRemoved};
  const Splitter marks{.matcher = match_code_points(is_punctuation)};
  return {.run = [spaces, marks](Pieces& pieces) {
    split_pieces(pieces, spaces);
    split_pieces(pieces, marks);
  }};
}

PreTokenizers make_fixed_length(const Json& component, const std::string& where, Context context) {
  const int64_t length = json_get<int64_t>(component, "length", int64_t{5}, where);
  if (length < 1) json_wrong_type(component.at("length"), "length", "at least 1", where);
  const auto matcher = [length](std::string_view text, std::vector<Match>& found) {
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      for (int64_t i = 0; i < length && end < text.size(); ++i) end += decode_utf8(text, end).bytes;
      found.push_back({begin, end, true});
    }
  };
  return splitting({.matcher = matcher_of(matcher, context)});
}

constexpr int kScriptsVersion = 9;  // of Unicode, of the table in `tokenizers`

// Script numbers as `tokenizers` sees them: kana are Han, and some characters join any script.
int script_of(char32_t c) {
  if (c == 0x30FC) return USCRIPT_HAN;
  if (c == 0x953 || c == 0x954) return USCRIPT_DEVANAGARI;  // of another since
  if (c == 0x589 || c == 0x61C) return USCRIPT_COMMON;
  if (c == ' ' || !assigned_by(c, kScriptsVersion)) return -1;
  UErrorCode status = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(static_cast<UChar32>(c), &status);
  if (script == USCRIPT_UNKNOWN) return -1;
  return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
}

// Cuts where the script changes. What precedes the first character of a script is lost, as there.
void split_scripts(Pieces& pieces) {
  const std::string_view text = pieces.text.view();
  std::vector<PieceRange> ranges;
  for (const PieceRange& piece : pieces.ranges) {
    std::optional<int> last;
    std::optional<size_t> begin;
    for (size_t at = piece.begin; at < piece.end;) {
      const CodePoint c = decode_utf8(text, at);
      const int script = script_of(c.value);
      if (script >= 0 && last != script) {
        if (begin) ranges.push_back({*begin, at});
        begin = at;
      }
      if (script >= 0) last = script;
      at += c.bytes;
    }
    if (begin) ranges.push_back({*begin, piece.end});
  }
  pieces.ranges.swap(ranges);
}

PreTokenizers make_scripts(const Json&, const std::string&, Context) {
  return {.run = split_scripts};
}

enum class Prepend { kFirst, kNever, kAlways };

Prepend read_prepend(const Json& component, const std::string& where) {
  static const Component<Prepend> kSchemes[] = {
      {"first", Prepend::kFirst}, {"never", Prepend::kNever}, {"always", Prepend::kAlways}};
  const auto name = json_get<std::string>(component, "prepend_scheme", "always", where);
  const Prepend scheme = find_component(kSchemes, name, where + ": prepend_scheme");
  if (json_get<bool>(component, "add_prefix_space", true, where)) return scheme;
  if (component.contains("prepend_scheme") && scheme != Prepend::kNever)
    throw Error({.what = "add_prefix_space does not agree with prepend_scheme", .where = where});
  return Prepend::kNever;
}

bool wants_prefix(const Pieces& pieces, const PieceRange& piece, Prepend scheme,
                  const std::string& mark) {
  if (scheme == Prepend::kNever) return false;
  const std::string_view text = pieces.text.view().substr(piece.begin, piece.end - piece.begin);
  if (text[0] == ' ' || text.starts_with(mark)) return false;
  if (scheme == Prepend::kAlways) return true;
  return pieces.text.source(piece.begin, piece.end).begin == 0 && !pieces.text.starts_late();
}

void write_spaces_as(Pieces& pieces, const std::string& mark, Prepend scheme) {
  const std::string_view text = pieces.text.view();
  edit_pieces(pieces, [&](TextEditor& editor, const PieceRange& piece) {
    if (wants_prefix(pieces, piece, scheme, mark)) put_before(editor, mark, pieces, piece);
    for (size_t at = piece.begin; at < piece.end;) {
      const size_t space = std::min(text.substr(0, piece.end).find(' ', at), piece.end);
      editor.keep(at, space);
      if (space < piece.end) editor.put(mark, space, space + 1);
      at = space + 1;
    }
  });
}

PreTokenizers make_metaspace(const Json& component, const std::string& where, Context context) {
  const std::string mark = read_character(component, "replacement", where);
  const Prepend scheme = read_prepend(component, where);
  const bool split = json_get<bool>(component, "split", true, where);
  const Splitter splitter{.matcher = match_literal(mark),
                          .behavior = SplitBehavior::kMergedWithNext};
  PreTokenizers made;
  if (scheme == Prepend::kFirst)
    made.alignment = context.after_edits ? Alignment::kAlways : Alignment::kOfEdited;
  made.run = [=](Pieces& pieces) {
    write_spaces_as(pieces, mark, scheme);
    if (split) split_pieces(pieces, splitter);
  };
  return made;
}

PreTokenizers make_sequence(const Json& component, const std::string& where, Context context);

struct Kind {
  PreTokenizers (*make)(const Json&, const std::string&, Context);
  bool only_cuts;  // by a splitter: leaves the text as it is
};
constexpr Component<Kind> kPreTokenizers[] = {
    {"ByteLevel", {make_byte_level, false}},
    {"Split", {make_split, true}},
    {"Digits", {make_digits, true}},
    {"Punctuation", {make_punctuation, true}},
    {"Whitespace", {make_whitespace, true}},
    {"WhitespaceSplit", {make_whitespace_split, true}},
    {"CharDelimiterSplit", {make_delimiter, true}},
    {"BertPreTokenizer", {make_bert, false}},
    {"FixedLength", {make_fixed_length, true}},
    {"Metaspace", {make_metaspace, false}},
    {"UnicodeScripts", {make_scripts, false}},
    {"Sequence", {make_sequence, false}},
};

const Kind& kind_of(const Json& component, const std::string& where) {
  return find_component(kPreTokenizers, json_get<std::string>(component, "type", where), where);
}

PreTokenizers read_step(const Json& component, const std::string& where, Context context) {
  check_component_depth(context.depth, where);
  return kind_of(component, where).make(component, where, context);
}

// Where the steps begin that only cut, up to the end: what a ByteLevel before them writes may stay
// bytes.
size_t first_of_last_cuts(const Json& steps, const std::string& where) {
  size_t first = steps.size();
  while (first > 0 && kind_of(steps[first - 1], cat(where, "[", first - 1, "]")).only_cuts) --first;
  return first;
}

PreTokenizers make_sequence(const Json& component, const std::string& where, Context context) {
  std::vector<PreTokenizer> steps;
  std::vector<std::shared_ptr<const WordScanner>> words;
  PreTokenizers made{.is_identity = true};
  const Json& list = json_array(component, "pretokenizers", where);
  const size_t cuts = first_of_last_cuts(list, where);
  bool bytes = context.after_bytes, edits = context.after_edits;
  for (const Json& step : list) {
    const size_t i = steps.size();
    const FinalBytes form = i + 1 >= cuts ? context.bytes : FinalBytes::kWritten;
    const auto part =
        read_step(step, cat(where, "[", i, "]"), {form, bytes, edits, context.depth + 1});
    edits |= !kind_of(step, where).only_cuts;
    bytes |= part.ends_in_bytes && form == FinalBytes::kLeftOut;
    made.ends_in_bytes = bytes || part.ends_in_bytes;
    made.alignment = std::max(made.alignment, part.alignment);
    made.is_identity &= part.is_identity;
    steps.push_back(part.run);
    if (!part.is_identity) words.push_back(part.words);
  }
  if (!words.empty() && std::find(words.begin(), words.end(), nullptr) == words.end())
    made.words = chain_scanners(std::move(words));
  made.run = [steps](Pieces& pieces) {
    for (const PreTokenizer& step : steps) step(pieces);
  };
  return made;
}

}  // namespace

PreTokenizers read_pre_tokenizer(const Json& component, FinalBytes bytes,
                                 const std::string& where) {
  return read_step(component, where,
                   {.bytes = bytes, .after_bytes = false, .after_edits = false, .depth = 0});
}

}  // namespace gradus
