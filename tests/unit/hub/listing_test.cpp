// SPDX-License-Identifier: Apache-2.0
#include "hub/listing.h"

#include <string>

#include "base/error.h"
#include "hub/selection.h"
#include "support/catch.h"

namespace gradus {
namespace {

const std::string kSha1(40, '1'), kSha256(64, '2');

std::string page(const std::string& path, const std::string& extra = "", int64_t size = 3) {
  return cat(
      R"([{"type": "directory", "path": "d", "oid": "x", "size": 0}, {"type": "file", "path": ")",
      path, R"(", "size": )", size, R"(, "oid": ")", kSha1, "\"", extra, "}]");
}

HubListing listing_of(const std::string& body) {
  HubListing listing;
  add_tree_page(listing, body, "tree");
  return listing;
}

TEST_CASE("a page of a tree gives sizes and digests, those of LFS where there are any") {
  const HubListing plain = listing_of(page("d/config.json"));
  REQUIRE(plain.size() == 1);
  CHECK(plain.at("d/config.json").etag() == kSha1);
  const HubListing large =
      listing_of(page("m.safetensors", R"(, "lfs": {"oid": ")" + kSha256 + R"(", "size": 77})"));
  CHECK(large.at("m.safetensors").etag() == kSha256);
  CHECK(large.at("m.safetensors").bytes == 77);
}

TEST_CASE("a listing that cannot be trusted is refused") {
  for (const std::string& body :
       {page("../x"), page("/etc/passwd"), page("a\\u0000b"), page("a//b"), page("x", "", -1),
        page("x", "", kMaxHubFileBytes + 1), page("x", R"(, "lfs": {"oid": "../../x", "size": 1})"),
        std::string(R"({"error": "x"})"), std::string("[1]"), std::string("[")}) {
    INFO(body);
    CHECK_THROWS_AS(listing_of(body), Error);
  }
  HubListing twice = listing_of(page("x"));
  CHECK_THROWS_AS(add_tree_page(twice, page("x"), "tree"), Error);
  CHECK_THROWS_AS(commit_of(R"({"sha": "main"})", "r"), Error);
  CHECK(commit_of("{\"sha\": \"" + kSha1 + "\"}", "r") == kSha1);
}

TEST_CASE("the next page is the target of rel=next") {
  CHECK(next_page(R"(<https://h/a?cursor=x>; rel="next")") == "https://h/a?cursor=x");
  CHECK(next_page(R"(<https://h/p>; rel="prev", <https://h/n>; title="a, b"; rel=next)") ==
        "https://h/n");
  for (const char* none :
       {"", "<", "<a", "<a>", "<a>;", "<a>; rel=", "x", ",,,", R"(<a>; rel="pre)"})
    CHECK(next_page(none).empty());
}

TEST_CASE("a listing survives being remembered") {
  HubListing listing = listing_of(page("a"));
  add_tree_page(listing, page("b", R"(, "lfs": {"oid": ")" + kSha256 + R"(", "size": 77})"), "t");
  const HubListing again = listing_from_json(listing_json(listing), "t");
  REQUIRE(again.size() == 2);
  CHECK(again.at("b").etag() == kSha256);
  CHECK(again.at("b").bytes == 77);
  CHECK(again.at("a").etag() == kSha1);
}

TEST_CASE("of a model only what is needed is fetched, and no pickle") {
  const HubPaths all = {".gitattributes",      "LICENSE",
                        "README.md",           "config.json",
                        "model-1.safetensors", "model.safetensors.index.json",
                        "onnx/model.onnx",     "pytorch_model.bin",
                        "tokenizer.json",      "training_args.bin"};
  CHECK(model_text_files(all, "") == HubPaths{"LICENSE", "README.md", "config.json",
                                              "tokenizer.json", "model.safetensors.index.json"});
  CHECK(weights_index(all, "") == "model.safetensors.index.json");
  CHECK(shards_of_index(R"({"weight_map": {"a": "model-1.safetensors"}})", "", "i") ==
        HubPaths{"model-1.safetensors"});
  for (const char* index : {R"({"weight_map": {"a": "../x.safetensors"}})", R"({"weight_map": {}})",
                            R"({"weight_map": {"a": "x.bin"}})", "{}"})
    CHECK_THROWS_AS(shards_of_index(index, "", "i"), Error);
  CHECK_THROWS_AS(single_weights({"pytorch_model.bin"}, "", "r"), Error);
  CHECK(single_weights({"sub/model.safetensors", "x.safetensors"}, "sub", "r") ==
        HubPaths{"sub/model.safetensors"});
}

TEST_CASE("a repository of GGUF files asks for one of them") {
  try {
    single_weights({"a.Q4_0.gguf", "a.Q8_0.gguf"}, "", "hf://o/n");
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("a.Q4_0.gguf, a.Q8_0.gguf") != std::string::npos);
  }
  const HubPaths split = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
                          "n-00002-of-00002.gguf"};
  CHECK(named_file(split, split[0], "r") == HubPaths{split[0], split[1]});
  CHECK_THROWS_AS(named_file({"x.bin"}, "x.bin", "r"), Error);
}

TEST_CASE("the data files of a folder are those that gradus reads") {
  const HubPaths all = {"README.md", "a.jsonl.gz", "b.csv", "c.parquet", "d/e.txt"};
  CHECK(data_files_of(all, "") == HubPaths{"a.jsonl.gz", "b.csv"});
  CHECK(data_files_of(all, "d") == HubPaths{"d/e.txt"});
}

}  // namespace
}  // namespace gradus
