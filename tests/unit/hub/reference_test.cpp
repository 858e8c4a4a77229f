// SPDX-License-Identifier: Apache-2.0
#include "hub/reference.h"

#include <string>

#include "base/error.h"
#include "support/catch.h"

namespace gradus {
namespace {

const std::string kCommit(40, 'a');

TEST_CASE("a reference names kind, repository, revision and path") {
  const HubReference whole = parse_hub_reference("hf://owner/name");
  CHECK(whole == HubReference{.repository = "owner/name", .path = {}});
  const HubReference file = parse_hub_reference("hf://datasets/o/n@v1.0/train/a.jsonl");
  CHECK(file == HubReference{HubKind::kDataset, "o/n", "v1.0", "train/a.jsonl"});
  CHECK(parse_hub_reference("hf://models/o/n").repository == "o/n");
}

TEST_CASE("revisions with slashes are those of the hub, or percent-encoded") {
  CHECK(parse_hub_reference("hf://o/n@refs/pr/7/x.gguf") ==
        HubReference{HubKind::kModel, "o/n", "refs/pr/7", "x.gguf"});
  CHECK(parse_hub_reference("hf://o/n@feature%2Fa/x.gguf") ==
        HubReference{HubKind::kModel, "o/n", "feature/a", "x.gguf"});
  for (const char* text :
       {"hf://o/n@refs/pr/7/x.gguf", "hf://datasets/o/n@feature%2Fa/d", "hf://o/n@refs%2Fx"})
    CHECK(to_string(parse_hub_reference(text)) == text);
}

TEST_CASE("what is no reference is refused by one line that quotes it") {
  for (const std::string text :
       {"hf://", "hf://name", "hf://o/", "hf:///n", "hf://../n", "hf://o/n@", "hf://o/n/../x",
        "hf://o/n//x", "hf://o/n@a%2F..%2Fb", "hf://o--x/n", "hf://o/n@%2Fetc", "hf://o/n/a\\b"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_hub_reference(text), Error);
  }
}

TEST_CASE("paths that lead out of a folder are not safe") {
  for (const char* path : {"a", "a/b.json", "..a/b", "a..b", "a/...", "ä.txt"})
    CHECK(is_safe_relative_path(path));
  for (const std::string path : {"", "/", "/a", "a/", "..", "a/..", "../a", "a//b", "./a", "a/./b",
                                 "a\\b", "a\nb", std::string(256, 'x').c_str()})
    CHECK_FALSE(is_safe_relative_path(path));
  CHECK_FALSE(is_safe_relative_path(std::string_view("a\0b", 3)));
}

TEST_CASE("a path in the cache tells its source") {
  const std::string root = "/c/hub/models--o--n-x/snapshots/" + kCommit;
  CHECK(hub_source(root) == "hf://o/n-x@" + kCommit);
  CHECK(hub_source(root + "/") == "hf://o/n-x@" + kCommit);
  CHECK(hub_source(root + "/q4/m.gguf") == "hf://o/n-x@" + kCommit + "/q4/m.gguf");
  CHECK(hub_source("/c/hub/datasets--o--d/snapshots/" + kCommit + "/a.jsonl") ==
        "hf://datasets/o/d@" + kCommit + "/a.jsonl");
  CHECK(hub_source("/c/hub/models--o--n/snapshots/main").empty());
  CHECK(hub_source("/models/l0").empty());
}

TEST_CASE("paths are percent-encoded but for their slashes") {
  CHECK(url_encode_path("a b/ü#?.txt") == "a%20b/%C3%BC%23%3F.txt");
  CHECK(url_encode("refs/pr/1") == "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace gradus
