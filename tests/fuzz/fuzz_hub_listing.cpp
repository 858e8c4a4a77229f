// SPDX-License-Identifier: Apache-2.0
// What a hub may answer: pages of a listing, Link headers, shard indices, and references that users
// write. Every accepted path must stay inside a folder.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "hub/reference.h"
#include "hub/selection.h"

namespace {

void require_inside(const gradus::HubListing& listing) {
  for (const auto& [path, file] : listing) {
    const std::string inside = gradus::fs::path("/a/" + path).lexically_normal().string();
    if (!inside.starts_with("/a/") || file.bytes < 0) std::abort();
    if (file.etag().find('/') != std::string::npos) std::abort();
  }
}

template <class F>
void attempt(F f) {
  try {
    f();
  } catch (const gradus::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    gradus::HubListing listing;
    gradus::add_tree_page(listing, text, "fuzz");
    require_inside(listing);
    const auto again = gradus::listing_from_json(gradus::listing_json(listing), "fuzz");
    if (again.size() != listing.size()) std::abort();
  });
  attempt([&] { gradus::commit_of(text, "fuzz"); });
  attempt([&] { gradus::shards_of_index(text, "", "fuzz"); });
  attempt([&] {
    const auto reference = gradus::parse_hub_reference(text);
    if (!(gradus::parse_hub_reference(gradus::to_string(reference)) == reference)) std::abort();
  });
  gradus::next_page(text);
  return 0;
}
