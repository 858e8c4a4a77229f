// SPDX-License-Identifier: Apache-2.0
#include "data/token_store.h"

#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

fs::path write_store(const TemporaryFolder& folder, const std::vector<ToyDocument>& documents,
                     int64_t vocab_size) {
  const fs::path path = folder / "a.tokens";
  TokenStoreWriter writer(path, vocab_size);
  for (size_t d = 0; d < documents.size(); ++d)
    writer.append(documents[d].ids, documents[d].supervised,
                  {static_cast<int64_t>(d % 3), static_cast<int64_t>(d) + 1});
  writer.finish({{"hello", "world"}});
  return path;
}

}  // namespace

TEST_CASE("a token store gives back every id, mark, place and count, for both widths") {
  for (const int64_t vocab_size : {1000, 100000}) {
    TemporaryFolder folder;
    auto documents = random_documents(700, 900, 5, 1);
    if (vocab_size > 65536)
      documents[3].ids.assign(1, 99999), documents[3].supervised.assign(1, true);
    const TokenStore store(write_store(folder, documents, vocab_size));
    REQUIRE(store.documents() == 700);
    CHECK(store.metadata() == Json{{"hello", "world"}});
    int64_t at = 0;
    bool same = true;
    for (size_t d = 0; d < documents.size(); ++d) {
      const auto& document = documents[d];
      const auto number = static_cast<int64_t>(d);
      const auto size = static_cast<int64_t>(document.ids.size());
      REQUIRE(store.document_begin(number) == at);
      REQUIRE(store.document_end(number) == at + size);
      CHECK(store.place(number).file == number % 3);
      CHECK(store.place(number).line == number + 1);
      int64_t marks = 0;
      for (int64_t i = 0; i < size; ++i) {
        const auto k = static_cast<size_t>(i);
        same = same && store.id(at + i) == document.ids[k] &&
               store.supervised(at + i) == document.supervised[k];
        marks += document.supervised[k];
      }
      CHECK(store.count_supervised(at, at + size) == marks);
      at += size;
    }
    CHECK(same);
    CHECK(store.tokens() == at);
  }
}

TEST_CASE("a store without documents is whole") {
  TemporaryFolder folder;
  const TokenStore store(write_store(folder, {}, 1000));
  CHECK(store.documents() == 0);
  CHECK(store.tokens() == 0);
}

TEST_CASE("any damaged byte, a cut and a foreign file are noticed") {
  TemporaryFolder folder;
  const fs::path path = write_store(folder, random_documents(40, 60, 5), 1000);
  const std::string good = read_file(path);
  for (size_t at = 0; at < good.size(); at += 13) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
    write_file_atomic(path, bad);
    CHECK_FALSE(error_of([&] { TokenStore store(path); }).empty());
  }
  for (const size_t size :
       {size_t{0}, size_t{8}, good.size() - 8, good.size() - 1, good.size() / 2}) {
    write_file_atomic(path, good.substr(0, size));
    CHECK(contains(error_of([&] { TokenStore store(path); }), "is not a usable token cache"));
  }
}

TEST_CASE("an unfinished store leaves no file") {
  TemporaryFolder folder;
  {
    TokenStoreWriter writer(folder / "a.tokens", 1000);
    writer.append({1, 2}, {true, true}, {});
  }
  CHECK(fs::is_empty(folder.path()));
}

}  // namespace gradus
