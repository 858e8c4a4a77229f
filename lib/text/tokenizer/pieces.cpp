// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/pieces.h"

#include <algorithm>
#include <array>

#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/word_scanner.h"
#include "text/unicode.h"

namespace gradus {
namespace {

// Joins a match to the part before it, unless that part is itself such a match. Walking backwards
// gives MergedWithNext.
void merge_with_neighbor(const std::vector<Match>& matches, std::vector<Match>& out) {
  bool previous_matched = false;
  for (const Match& match : matches) {
    if (match.matched && !previous_matched && !out.empty()) {
      out.back().begin = std::min(out.back().begin, match.begin);
      out.back().end = std::max(out.back().end, match.end);
    } else {
      out.push_back(match);
    }
    previous_matched = match.matched;
  }
}

void merge_contiguous(const std::vector<Match>& matches, std::vector<Match>& out) {
  bool previous_matched = false;
  for (const Match& match : matches) {
    if (match.matched == previous_matched && !out.empty()) {
      out.back().end = match.end;
    } else {
      out.push_back(match);
    }
    previous_matched = match.matched;
  }
}

void apply_behavior(SplitBehavior behavior, std::vector<Match>& matches) {
  std::vector<Match> merged;
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return;
    case SplitBehavior::kRemoved:
      std::erase_if(matches, [](const Match& match) { return match.matched; });
      return;
    case SplitBehavior::kContiguous:
      merge_contiguous(matches, merged);
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge_with_neighbor(matches, merged);
      break;
    case SplitBehavior::kMergedWithNext:
      std::reverse(matches.begin(), matches.end());
      merge_with_neighbor(matches, merged);
      std::reverse(merged.begin(), merged.end());
      break;
  }
  matches.swap(merged);
}

void add_match(std::vector<Match>& found, size_t& done, size_t begin, size_t end) {
  if (done != begin) found.push_back({done, begin, false});
  found.push_back({begin, end, true});
  done = end;
}

}  // namespace

Matcher match_literal(const std::string& literal) {
  if (literal.empty()) return match_regex("", "pattern");
  return [literal](std::string_view text, std::vector<Match>& found) {
    size_t done = 0;
    for (size_t at = 0; (at = text.find(literal, at)) != std::string_view::npos;) {
      add_match(found, done, at, at + literal.size());
      at = done;
    }
    if (done < text.size()) found.push_back({done, text.size(), false});
  };
}

Matcher match_code_points(bool (*predicate)(char32_t)) {
  std::array<bool, 128> ascii;
  for (char32_t c = 0; c < ascii.size(); ++c) ascii[c] = predicate(c);
  return [predicate, ascii](std::string_view text, std::vector<Match>& found) {
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const auto lead = static_cast<unsigned char>(text[at]);
      const CodePoint c = lead < ascii.size() ? CodePoint{lead, 1} : decode_utf8(text, at);
      if (lead < ascii.size() ? ascii[lead] : predicate(c.value))
        add_match(found, done, at, at + c.bytes);
      at += c.bytes;
    }
    if (done < text.size()) found.push_back({done, text.size(), false});
  };
}

Matcher match_regex(const std::string& pattern, const std::string& where) {
  const WordPattern* known = find_word_pattern(pattern);
  if (known && known->matches_everything) {
    return [words = known->scanner()](std::string_view text, std::vector<Match>& found) {
      std::vector<uint32_t> ends;
      words->scan(text, ends);
      size_t begin = 0;
      for (const uint32_t end : ends) {
        found.push_back({begin, end, true});
        begin = end;
      }
    };
  }
  const auto regex = std::make_shared<Regex>(pattern, where);
  return [regex](std::string_view text, std::vector<Match>& found) {
    size_t done = 0;
    regex->for_each(text, [&](size_t begin, size_t end) { add_match(found, done, begin, end); });
    if (done < text.size()) found.push_back({done, text.size(), false});
  };
}

Matcher match_byte_chars(bool (*predicate)(char32_t)) {
  std::array<bool, 256> matches;
  for (size_t byte = 0; byte < matches.size(); ++byte)
    matches[byte] = predicate(decode_utf8(byte_char(static_cast<unsigned char>(byte)), 0).value);
  return [matches](std::string_view bytes, std::vector<Match>& found) {
    size_t done = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      if (matches[static_cast<unsigned char>(bytes[at])]) add_match(found, done, at, at + 1);
    }
    if (done < bytes.size()) found.push_back({done, bytes.size(), false});
  };
}

Matcher on_byte_chars(Matcher matcher) {
  return [matcher = std::move(matcher)](std::string_view bytes, std::vector<Match>& found) {
    thread_local std::string chars;
    chars.clear();
    for (const char byte : bytes) chars += byte_char(static_cast<unsigned char>(byte));
    const size_t first = found.size();
    matcher(chars, found);
    size_t at = 0, byte = 0;
    const auto byte_of = [&](size_t place) {
      for (; at < place; ++byte) at += byte_char(static_cast<unsigned char>(bytes[byte])).size();
      return byte;
    };
    for (size_t i = first; i < found.size(); ++i)
      found[i] = {byte_of(found[i].begin), byte_of(found[i].end), found[i].matched};
  };
}

void find_parts(const Splitter& splitter, std::string_view text, std::vector<Match>& parts) {
  parts.clear();
  splitter.matcher(text, parts);
  if (splitter.invert) {
    for (Match& part : parts) part.matched = !part.matched;
  }
  apply_behavior(splitter.behavior, parts);
  std::erase_if(parts, [](const Match& part) { return part.begin == part.end; });
}

void split_pieces(Pieces& pieces, const Splitter& splitter) {
  const std::string_view text = pieces.text.view();
  std::vector<PieceRange> ranges;
  ranges.reserve(pieces.ranges.size() + text.size() / 4);
  std::vector<Match> parts;
  for (const PieceRange& piece : pieces.ranges) {
    find_parts(splitter, text.substr(piece.begin, piece.end - piece.begin), parts);
    for (const Match& part : parts)
      ranges.push_back({piece.begin + part.begin, piece.begin + part.end});
  }
  pieces.ranges.swap(ranges);
}

}  // namespace gradus
