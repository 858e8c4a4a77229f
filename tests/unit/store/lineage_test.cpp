// SPDX-License-Identifier: Apache-2.0
#include "store/lineage.h"

#include <cmath>
#include <thread>

#include "base/hash.h"
#include "base/temporary_folder.h"
#include "store/walk.h"
#include "support/catch.h"

using namespace gradus;
using Catch::Matchers::Contains;

namespace {

void make_model(const fs::path& folder, const std::string& weights) {
  write_file_atomic(folder / "config.json", "{}");
  write_file_atomic(folder / "model.safetensors", weights);
  write_file_atomic(folder / "tokenizer.json", "[]");
  write_file_atomic(folder / "tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
}

LineageData postgresql() {
  return {.name = "postgresql",
          .files = {{"data/postgresql.jsonl", std::string(64, 'a'), 123}},
          .documents = 10,
          .tokens = 1000,
          .licence = "PostgreSQL",
          .share = 0.7};
}

// weights.gguf → l0 → l1 → l2, each with a lineage.
struct Chain {
  TemporaryFolder root;
  fs::path l0 = root / "l0", l1 = root / "l1" / "model", l2 = root / "l2" / "model";
  DigestCache cache;

  Chain() {
    write_file_atomic(root / "weights.gguf", "GGUF");
    make_model(l0, "zero");
    LineageBuilder(LineageKind::kImported, cache)
        .source(root / "weights.gguf", "Apache-2.0")
        .write(l0);
    make_model(l1, "one");
    LineageBuilder(LineageKind::kPretrainContinue, cache)
        .parent("base", l0)
        .data(postgresql())
        .recipe({{"lr", 0.0001}})
        .training({{"steps", 30}})
        .write(l1);
    make_model(l2, "two");
    LineageBuilder(LineageKind::kSft, cache).parent("base", l1).write(l2);
  }
};

std::string message_of(const Json& json) {
  try {
    lineage_from_json(json, "lineage.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a lineage reads back as it was written") {
  const Chain chain;
  const Lineage l1 = read_lineage(chain.l1);
  CHECK(lineage_json(lineage_from_json(lineage_json(l1), "x")) == lineage_json(l1));
  CHECK(l1.kind == LineageKind::kPretrainContinue);
  CHECK(l1.digest == DigestCache().folder(chain.l1));
  CHECK(l1.recipe.at("lr") == 0.0001);
  CHECK(l1.data.at(0).tokens == 1000);
  CHECK(l1.tokenizer_digest.size() == 64);
  CHECK(l1.template_digest == sha256_hex("{{ messages }}"));
}

TEST_CASE("licences of parents and data are inherited once each") {
  const Chain chain;
  const std::vector<LineageLicence> expected = {{"weights.gguf", "Apache-2.0"},
                                                {"postgresql", "PostgreSQL"}};
  CHECK(read_lineage(chain.l2).licences == expected);
}

TEST_CASE("the chain is walked back to its origin and checked on the way") {
  Chain chain;
  const LineageStep l2 = walk_lineage(chain.l2, chain.cache);
  const LineageStep& l1 = l2.parents.at(0);
  const LineageStep& l0 = l1.parents.at(0);
  CHECK(l2.state == ContentState::kOk);
  CHECK(fs::equivalent(l1.path, chain.l1));
  CHECK(l1.state == ContentState::kOk);
  CHECK(l0.parents.at(0).role == "source");
  CHECK(l0.parents.at(0).state == ContentState::kOk);
  const std::string tree = render_lineage(l2);
  CHECK_THAT(tree, Contains("pretrain-continue") && Contains("postgresql, 1,000 tokens, 70 %"));
  CHECK(lineage_tree_json(l2).at("parents").at(0).at("parents").at(0).at("state") == "ok");
}

TEST_CASE("the chain survives parents that changed, moved or went") {
  Chain chain;
  write_file_atomic(chain.l1 / "model.safetensors", "other");
  fs::remove_all(chain.l0);
  const LineageStep l2 = walk_lineage(chain.l2, chain.cache);
  CHECK(l2.parents.at(0).state == ContentState::kChanged);
  CHECK(l2.parents.at(0).parents.at(0).state == ContentState::kAbsent);
  CHECK(l2.parents.at(0).parents.at(0).record.at("kind") == "imported");
  CHECK(l2.parents.at(0).parents.at(0).parents.at(0).digest ==
        DigestCache().file(chain.root / "weights.gguf"));
}

TEST_CASE("a whole tree of models can be moved") {
  Chain chain;
  const TemporaryFolder other;
  fs::rename(chain.root.path(), other / "moved");
  const LineageStep l2 = walk_lineage(other / "moved" / "l2" / "model", chain.cache);
  CHECK(l2.parents.at(0).parents.at(0).state == ContentState::kOk);
}

TEST_CASE("verification names the files that changed, ignoring remembered digests") {
  const Chain chain;
  CHECK(verify_folder(chain.l1).ok());
  write_file_atomic(chain.l1 / "model.safetensors", "bad");
  write_file_atomic(chain.l1 / "extra.safetensors", "new");
  fs::remove(chain.l1 / "tokenizer.json");
  const Verification result = verify_folder(chain.l1);
  CHECK_FALSE(result.ok());
  CHECK(result.changes == std::vector<std::string>{"model.safetensors: content differs",
                                                   "tokenizer.json: missing",
                                                   "extra.safetensors: added"});
}

TEST_CASE("a changed parent cannot become the base of a new model") {
  Chain chain;
  write_file_atomic(chain.l1 / "model.safetensors", "bad");
  LineageBuilder builder(LineageKind::kQuantize, chain.cache);
  CHECK_THROWS_WITH(builder.parent("base", chain.l1), Contains("lineage.json describes"));
}

TEST_CASE("evaluations and gates are added without a new digest and replaced by name") {
  const Chain chain;
  const std::string digest = DigestCache().folder(chain.l2);
  append_evaluation(chain.l2, {{"name", "routing"}, {"accuracy", 0.5}});
  append_evaluation(chain.l2, {{"name", "general"}, {"perplexity", 20.0}});
  append_evaluation(chain.l2, {{"name", "routing"}, {"accuracy", 0.75}});
  append_gates(chain.l2, {{"floor", "accuracy", "minimum", 0.5, 0.75, true}});
  const Lineage lineage = read_lineage(chain.l2);
  REQUIRE(lineage.evaluations.size() == 2);
  CHECK(lineage.evaluations[1].at("accuracy") == 0.75);
  CHECK(lineage.gates.at(0).passed);
  CHECK(lineage.digest == digest);
  CHECK(DigestCache().folder(chain.l2) == digest);
  CHECK_THROWS_AS(append_evaluation(chain.l2, {{"accuracy", 0.5}}), Error);
}

TEST_CASE("evaluations written at the same time are all kept") {
  const Chain chain;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] { append_evaluation(chain.l2, {{"name", std::to_string(i)}}); });
    }
  }
  CHECK(read_lineage(chain.l2).evaluations.size() == 4);
}

TEST_CASE("a metric that is not a number is written as null and read as NaN") {
  const Chain chain;
  append_gates(chain.l2, {{"floor", "accuracy", "minimum", 0.5, std::nan(""), false}});
  CHECK(std::isnan(read_lineage(chain.l2).gates.at(0).value));
}

TEST_CASE("a damaged lineage is refused with the key at fault") {
  const Chain chain;
  const Json good = lineage_json(read_lineage(chain.l1));
  const auto broken = [&](const std::string& key, const Json& value) {
    Json json = good;
    json[key] = value;
    return message_of(json);
  };
  CHECK(message_of(good) == "no error");
  CHECK_THAT(broken("format", "gradus-lineage/9"), Contains("unknown format"));
  CHECK_THAT(broken("kind", "magic"), Contains("unknown kind") && Contains("distill"));
  CHECK_THAT(broken("digest", "xyz"), Contains("'digest' is not a SHA-256"));
  CHECK_THAT(broken("parents", Json{{{"role", 3}}}), Contains("'role'"));
  CHECK_THAT(broken("data", 3), Contains("'data'"));
  CHECK_THAT(broken("tokenizer_digest", "xyz"), Contains("'tokenizer_digest'"));
  CHECK_THAT(broken("evaluations", Json{{{"x", 1}}}), Contains("'name'"));
  Json endless = good.at("parents").at(0);
  for (int i = 0; i < 70; ++i) endless["lineage"] = {{"parents", Json::array({endless})}};
  CHECK_THAT(broken("parents", Json::array({endless})), Contains("too long a chain"));
}

TEST_CASE("what embedded lineages say is checked too") {
  const Chain chain;
  const Json good = lineage_json(read_lineage(chain.l2));
  for (const auto& [key, value] : {std::pair{"data", Json{{{"tokens", 3}}}},
                                   {"gates", Json{{{"name", 3}}}},
                                   {"licences", Json{{{"input", nullptr}}}}}) {
    Json bad = good;
    bad["parents"][0]["lineage"][key] = value;
    CHECK_THAT(message_of(bad), Contains("key"));
  }
}

TEST_CASE("two folders that name each other as parent end the walk") {
  Chain chain;
  const auto name_parent = [](const fs::path& folder, const fs::path& parent) {
    Lineage lineage = read_lineage(folder);
    lineage.parents = {{.role = "base",
                        .digest = read_lineage(parent).digest,
                        .path = fs::relative(parent, folder).string()}};
    write_lineage(folder, lineage);
  };
  name_parent(chain.l1, chain.l2);
  name_parent(chain.l2, chain.l1);
  CHECK_THROWS_WITH(walk_lineage(chain.l2, chain.cache), Contains("too long a chain"));
}

TEST_CASE("a parent without a lineage is an input whose licence is unknown") {
  Chain chain;
  fs::remove(chain.l1 / "lineage.json");
  const Lineage made =
      LineageBuilder(LineageKind::kSft, chain.cache).parent("base", chain.l1).write(chain.l2);
  CHECK(made.licences == std::vector<LineageLicence>{{"base", ""}});
}

TEST_CASE("a folder without a lineage says so") {
  const TemporaryFolder folder;
  CHECK_FALSE(has_lineage(folder.path()));
  CHECK_THROWS_WITH(read_lineage(folder.path()), Contains("has no lineage.json"));
}
