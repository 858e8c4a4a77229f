// SPDX-License-Identifier: Apache-2.0
#include "text/stop_matcher.h"

#include <random>

#include "support/catch.h"

using namespace gradus;

namespace {

// The text before the stop string that is complete first, by trying every end.
std::string cut_plainly(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t best = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0)
        best = std::max(best, stop.size());
    }
    if (best > 0) return text.substr(0, end - best);
  }
  return text;
}

}  // namespace

TEST_CASE("a stop string is found across pieces and nothing of it is released") {
  StopMatcher matcher({"</end>"});
  CHECK(matcher.push("one <") == "one ");
  CHECK(matcher.push("/e") == "");
  CHECK(matcher.push("lse </") == "</else ");
  CHECK(matcher.push("end> more") == "");
  CHECK(matcher.stopped());
  CHECK(matcher.push("ignored") == "");
  CHECK(matcher.finish() == "");
}

TEST_CASE("what was held back comes out at the end") {
  StopMatcher matcher({"abc"});
  CHECK(matcher.push("xab") == "x");
  CHECK_FALSE(matcher.stopped());
  CHECK(matcher.finish() == "ab");
}

TEST_CASE("without stop strings everything passes at once") {
  StopMatcher matcher({});
  CHECK(matcher.push("text") == "text");
  CHECK(matcher.finish() == "");
}

TEST_CASE("the cut does not depend on how the text is divided") {
  std::mt19937 random(7);
  const auto below = [&random](size_t bound) { return random() % bound; };
  const auto word = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += "aab"[below(3)];
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = below(4); i > 0; --i) stops.push_back(word(1 + below(5)));
    const std::string text = word(below(30));
    StopMatcher matcher(stops);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t count = 1 + below(4);
      out += matcher.push(std::string_view(text).substr(at, count));
      at += count;
    }
    stopped += matcher.stopped() ? 1 : 0;
    out += matcher.finish();
    CAPTURE(text, stops);
    REQUIRE(out == cut_plainly(text, stops));
  }
  CHECK(stopped > 500);
}
