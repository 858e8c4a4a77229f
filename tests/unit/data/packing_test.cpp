// SPDX-License-Identifier: Apache-2.0
#include "data/packing.h"

#include <algorithm>
#include <map>

#include "data/plan.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

// (document, id, position in the document, target) of every input, found by walking a batch.
using Row = std::tuple<int64_t, int32_t, int32_t, int32_t>;

std::vector<Row> rows_of(const PackedSource& source) {
  std::vector<Row> rows;
  for (int64_t s = 0; s < source.sequences(); ++s) {
    PackedBatch batch;
    source.append(s, 0, batch);
    for (size_t g = 0; g + 1 < batch.segment_starts.size(); ++g) {
      for (auto i = static_cast<size_t>(batch.segment_starts[g]);
           i < static_cast<size_t>(batch.segment_starts[g + 1]); ++i)
        rows.emplace_back(batch.origins[g].document, batch.ids[i], batch.positions[i],
                          batch.targets[i]);
    }
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

SourceRecipe named(const char* name) {
  SourceRecipe recipe;
  recipe.name = name;
  return recipe;
}

}  // namespace

TEST_CASE("packed and unpacked sequences hold the same inputs, positions and targets") {
  TemporaryFolder folder;
  const auto source = toy_source(folder, named("a"), random_documents(500, 64, 3, 1));
  const PackedSource packed(source, {.context_length = 64, .seed = 7});
  const PackedSource single(source,
                            {.context_length = 64, .packing = Packing::kOneDocument, .seed = 7});
  CHECK(packed.sequences() < single.sequences() * 6 / 10);
  CHECK(packed.tokens() == single.tokens());
  CHECK(rows_of(packed) == rows_of(single));
}

TEST_CASE("targets are the next token of the same document where it is marked") {
  TemporaryFolder folder;
  const auto documents = random_documents(200, 40, 11, 1);
  const PackedSource packed(toy_source(folder, named("a"), documents), {.context_length = 100});
  for (int64_t s = 0; s < packed.sequences(); ++s) {
    PackedBatch batch;
    packed.append(s, 3, batch);
    REQUIRE(batch.tokens() == packed.tokens(s));
    REQUIRE(batch.tokens() <= 100);
    int64_t supervised = 0;
    for (size_t g = 0; g < batch.origins.size(); ++g) {
      const auto& document = documents[static_cast<size_t>(batch.origins[g].document)];
      CHECK(batch.origins[g].source == 3);
      const auto start = static_cast<size_t>(batch.segment_starts[g]);
      REQUIRE(static_cast<size_t>(batch.segment_starts[g + 1]) - start == document.ids.size());
      for (size_t i = 0; i < document.ids.size(); ++i) {
        const bool learned = i + 1 < document.ids.size() && document.supervised[i + 1];
        REQUIRE(batch.ids[start + i] == document.ids[i]);
        REQUIRE(batch.positions[start + i] == static_cast<int32_t>(i));
        REQUIRE(batch.targets[start + i] == (learned ? document.ids[i + 1] : kIgnoredTarget));
        supervised += learned;
      }
    }
    CHECK(batch.supervised_tokens == supervised);
    CHECK(packed.supervised(s) == supervised);
  }
}

TEST_CASE("no token is lost or learned twice, whatever the documents and the policy") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    TemporaryFolder folder;
    const auto context = static_cast<int64_t>(2 + random_bits(seed, 0, 0) % 50);
    const auto documents = random_documents(80, 3 * static_cast<uint64_t>(context), seed);
    const auto policy = seed % 2 ? OverflowPolicy::kSplit : OverflowPolicy::kDrop;
    const PackedSource packed(toy_source(folder, named("a"), documents),
                              {.context_length = context, .on_overflow = policy, .seed = seed});
    std::map<int64_t, std::vector<std::pair<int32_t, int32_t>>> targets;  // document → (in, out)
    for (const auto& [document, id, position, target] : rows_of(packed))
      if (target != kIgnoredTarget) targets[document].emplace_back(id, target);

    int64_t dropped = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
      const auto& ids = documents[d].ids;
      const bool kept = ids.size() > 1 && (policy == OverflowPolicy::kSplit ||
                                           static_cast<int64_t>(ids.size()) <= context);
      dropped += kept ? 0 : static_cast<int64_t>(ids.size());
      std::vector<std::pair<int32_t, int32_t>> expected;
      for (size_t i = 1; kept && i < ids.size(); ++i) expected.emplace_back(ids[i - 1], ids[i]);
      std::sort(expected.begin(), expected.end());
      auto& found = targets[static_cast<int64_t>(d)];
      std::sort(found.begin(), found.end());
      REQUIRE(found == expected);
    }
    const SourceReport& report = packed.report();
    CHECK(report.tokens == report.kept_tokens + report.all_dropped().tokens);
    CHECK(report.documents == report.kept_documents + report.all_dropped().documents);
    CHECK(report.all_dropped().tokens == dropped);
  }
}

TEST_CASE("split pieces are segments of their own with positions from 0") {
  TemporaryFolder folder;
  const std::vector<ToyDocument> documents = {{{1, 2, 3, 4, 5, 6, 7}, std::vector<bool>(7, true)}};
  const PackedSource packed(toy_source(folder, named("a"), documents),
                            {.context_length = 3,
                             .on_overflow = OverflowPolicy::kSplit,
                             .packing = Packing::kOneDocument});
  REQUIRE(packed.sequences() == 2);  // 1 2 3 | 4 5 6 → 7: the last token is a target already
  PackedBatch batch;
  packed.append(0, 0, batch);
  packed.append(1, 0, batch);
  CHECK(batch.ids == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
  CHECK(batch.targets == std::vector<int32_t>{2, 3, 4, 5, 6, 7});
  CHECK(batch.positions == std::vector<int32_t>{0, 1, 2, 0, 1, 2});
  CHECK(batch.segment_starts == std::vector<int32_t>{0, 3, 6});
  CHECK(packed.report().split_documents == 1);
  CHECK(packed.report().pieces == 2);
}

TEST_CASE("best fit fills sequences well and depends on the seed alone") {
  TemporaryFolder folder;
  const auto source = toy_source(folder, named("a"), random_documents(3000, 256, 9));
  const PackingOptions options{.context_length = 512, .seed = 1};
  const PackedSource packed(source, options);
  const double fill = static_cast<double>(packed.tokens()) /
                      static_cast<double>(packed.sequences() * options.context_length);
  CHECK(fill > 0.99);
  const PackedSource again(source, options);
  const PackedSource other(source, {.context_length = 512, .seed = 2});
  PackedBatch a, b, c;
  packed.append(5, 0, a);
  again.append(5, 0, b);
  other.append(5, 0, c);
  CHECK(a.ids == b.ids);
  CHECK(a.ids != c.ids);
}

TEST_CASE("a sample that is too long is an error with its line, by default") {
  TemporaryFolder folder;
  auto documents = random_documents(5, 10, 3);
  documents.push_back({std::vector<int32_t>(11, 1), std::vector<bool>(11, true)});
  const auto source = toy_source(folder, named("a"), documents);
  const std::string error = error_of([&] { PackedSource(source, {.context_length = 10}); });
  CHECK(contains(error, "toy.jsonl:6: the sample is longer than context_length"));
  CHECK(contains(error, "expected at most 10 tokens, found 11"));
}

TEST_CASE("a source of which nothing is left is an error") {
  TemporaryFolder folder;
  const auto source = toy_source(folder, named("a"), {{{1}, {true}}, {{}, {}}});
  CHECK(contains(error_of([&] { PackedSource(source, {.context_length = 10}); }),
                 "source a: nothing is left after dropping 2 documents"));
}

TEST_CASE("the policy of a source goes before that of the recipe") {
  TemporaryFolder folder;
  SourceRecipe recipe = named("a");
  recipe.on_overflow = OverflowPolicy::kDrop;
  const auto source = toy_source(folder, recipe, random_documents(50, 20, 3));
  const PackedSource packed(source, {.context_length = 10});
  CHECK(packed.report().dropped.at("longer than context_length").documents > 0);
}

}  // namespace gradus
