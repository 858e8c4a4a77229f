// SPDX-License-Identifier: Apache-2.0
#include "train/steps.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace gradus {

std::string range_text(std::vector<int64_t> numbers) {
  constexpr int kMostRanges = 12;
  std::sort(numbers.begin(), numbers.end());
  std::string text;
  int ranges = 0;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] <= numbers[end] + 1) ++end;
    if (++ranges > kMostRanges) return text + ", …";
    text += (text.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (numbers[end] != numbers[i]) text += "-" + std::to_string(numbers[end]);
    i = end + 1;
  }
  return text;
}

std::string PlannedSteps::describe(const PackedBatch& batch) const {
  std::map<int32_t, std::vector<int64_t>> documents;
  for (const SegmentOrigin& origin : batch.origins)
    documents[origin.source].push_back(origin.document);
  std::string text;
  for (const auto& [source, numbers] : documents) {
    const DataSource& data = plan_.sources().at(static_cast<size_t>(source)).source();
    const int64_t first = *std::min_element(numbers.begin(), numbers.end());
    text += cat(text.empty() ? "" : "; ", data.recipe().name, ": documents ", range_text(numbers),
                " (the first at ", data.place(first), ")");
  }
  return text;
}

HeldOutSet held_out(const EvaluationSet& set) {
  return {set.name(), set.batches(), [&set](int64_t index) { return set.batch(index); }};
}

}  // namespace gradus
