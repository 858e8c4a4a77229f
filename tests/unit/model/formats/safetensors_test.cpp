// SPDX-License-Identifier: Apache-2.0
#include "model/formats/safetensors.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "support/catch.h"

namespace gradus {
namespace {

using Catch::Matchers::Contains;

const fs::path kFixtures = fs::path(GRADUS_SOURCE_DIR) / "tests/fixtures/safetensors";

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string image_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

std::string refusal(const std::string& image) {
  try {
    parse_safetensors(bytes_of(image), "x.safetensors");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const std::string& header, const std::string& data) {
  return refusal(image_of(header, data));
}

const std::string kGood = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

template <class T>
std::vector<T> values_of(const StoredTensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::vector<TensorToWrite> all_of(const SafetensorsFile& file) {
  std::vector<TensorToWrite> tensors;
  for (const auto& name : file.names()) tensors.push_back({name, file.at(name)});
  std::reverse(tensors.begin(), tensors.end());
  return tensors;
}

TensorToWrite bytes_tensor(const std::string& name, const std::string& data) {
  return {name, {"U8", {static_cast<int64_t>(data.size())}, bytes_of(data)}};
}

TEST_CASE("safetensors: reads what the Python package wrote") {
  const SafetensorsFile file(kFixtures / "all.safetensors");
  CHECK(file.metadata() == SafetensorsMetadata{{"format", "pt"}});
  CHECK(file.names().size() == 10);
  CHECK(file.at("scalar").shape.empty());
  CHECK(values_of<float>(file.at("scalar")) == std::vector<float>{0});
  CHECK(file.at("b.weight").shape == std::vector<int64_t>{2, 3});
  CHECK(values_of<float>(file.at("b.weight")) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(file.at("a.brain").dtype == "BF16");
  CHECK(values_of<uint16_t>(file.at("a.brain")) ==
        std::vector<uint16_t>{0x4040, 0x4080, 0x40a0, 0x40c0});
  CHECK(file.at("empty").shape == std::vector<int64_t>{0, 4});
  CHECK(file.at("empty").bytes.empty());
  CHECK(values_of<int64_t>(file.at("ids")) == std::vector<int64_t>{5, 6, 7});
  CHECK(file.at("eight").dtype == "F8_E4M3");
  CHECK(values_of<uint8_t>(file.at("flags")) == std::vector<uint8_t>{0, 1, 0});
  CHECK(values_of<int32_t>(file.at("tab\t\"é\"")) == std::vector<int32_t>{9});
  CHECK(SafetensorsFile(kFixtures / "none.safetensors").names().empty());
}

TEST_CASE("safetensors: writes the same bytes as the Python package") {
  const TemporaryFolder folder;
  const SafetensorsFile file(kFixtures / "all.safetensors");
  write_safetensors(folder / "all.safetensors", all_of(file), file.metadata());
  CHECK(read_file(folder / "all.safetensors") == read_file(kFixtures / "all.safetensors"));
  write_safetensors(folder / "none.safetensors", {}, {});
  CHECK(read_file(folder / "none.safetensors") == read_file(kFixtures / "none.safetensors"));
}

TEST_CASE("safetensors: shards are the same as those of huggingface_hub") {
  const TemporaryFolder folder;
  const fs::path sharded = kFixtures / "sharded";
  const SafetensorsFolder stored(sharded);
  CHECK(stored.files().size() == 3);
  std::vector<TensorToWrite> tensors;
  for (const char* name : {"b.weight", "a.half", "a.brain", "ids", "bytes", "eight", "flags"}) {
    tensors.push_back({name, stored.at(name)});
  }
  write_safetensors_folder(folder / "model", tensors, 40);
  for (const auto& entry : fs::directory_iterator(sharded)) {
    const std::string name = entry.path().filename().string();
    INFO(name);
    if (name.ends_with(".json")) {
      const auto unordered = [](const Json& json) { return nlohmann::json::parse(json.dump()); };
      CHECK(unordered(read_json(folder / ("model/" + name))) == unordered(read_json(entry.path())));
    } else {
      CHECK(read_file(folder / ("model/" + name)) == read_file(entry.path()));
    }
  }
  CHECK_THAT(SafetensorsFolder(folder / "model").place("ids"),
             Contains("model-00002-of-00003.safetensors: ids"));
}

TEST_CASE("safetensors: a single file is a folder without an index") {
  const TemporaryFolder folder;
  write_safetensors_folder(folder / "m", {bytes_tensor("x", "abc"), bytes_tensor("w", "d")});
  const SafetensorsFolder stored(folder / "m");
  CHECK(stored.names() == std::vector<std::string>{"w", "x"});
  CHECK(stored.at("x").bytes.size() == 3);
  CHECK_THROWS_WITH(stored.at("y"), Contains("has no tensor 'y'"));
  CHECK_THROWS_WITH(write_safetensors_folder(folder / "m", {bytes_tensor("x", "abc")}),
                    Contains("already holds weights"));
}

TEST_CASE("safetensors: streamed sources are asked once, in the order of the data") {
  const TemporaryFolder folder;
  std::string asked, buffer;
  const auto source = [&](const std::string& name, const std::string& content) {
    return TensorSource{name, "U8", {static_cast<int64_t>(content.size())}, [&, name, content] {
                          asked += name;
                          buffer = content;
                          return bytes_of(buffer);
                        }};
  };
  stream_safetensors(folder / "s", {source("b", "22"), source("a", "1")});
  CHECK(asked == "ab");
  const SafetensorsFile file(folder / "s");
  CHECK(values_of<char>(file.at("b")) == std::vector<char>{'2', '2'});
}

TEST_CASE("safetensors: a failing source leaves no file") {
  const TemporaryFolder folder;
  const TensorSource bad{
      "a", "F32", {2}, []() -> std::span<const std::byte> { throw Error("stop"); }};
  CHECK_THROWS_AS(stream_safetensors(folder / "s", {bad}), Error);
  CHECK(fs::is_empty(folder.path()));
  const TensorSource short_one{"a", "F32", {2}, [] { return std::span<const std::byte>(); }};
  CHECK_THROWS_AS(stream_safetensors(folder / "s", {short_one}), std::logic_error);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("safetensors: damaged sizes are refused in one line") {
  CHECK(refusal(kGood, "12345678") == "accepted");
  CHECK_THAT(refusal(std::string("abc")), Contains("x.safetensors: the file is too short"));
  CHECK_THAT(refusal(std::string(8, '\xff')), Contains("the header is too large"));
  CHECK_THAT(refusal(image_of(kGood, "").substr(0, 20)), Contains("ends inside its header"));
  CHECK_THAT(refusal(kGood, "1234567"), Contains("truncated"));
  CHECK_THAT(refusal(kGood, "123456789"), Contains("belong to no tensor"));
  CHECK_THAT(refusal(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678"),
             Contains("x.safetensors: a: data_offsets do not fit dtype and shape (expected 12 "
                      "bytes, found [0, 8])"));
  CHECK_THAT(refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678"),
             Contains("data_offsets do not fit"));
}

TEST_CASE("safetensors: sizes that overflow are refused") {
  // 2^62 x 4 bytes is 0 modulo 2^64.
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", ""),
      Contains("a: the shape is too large"));
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""),
      Contains("the shape is too large"));
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", ""),
      Contains("the shape is too large"));
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}})", ""),
      Contains("data_offsets do not fit"));
}

TEST_CASE("safetensors: gaps, overlaps and aliases are refused") {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  CHECK(refusal(two("[2,4]", "[0,2]"), "1234") == "accepted");
  CHECK_THAT(refusal(two("[0,2]", "[3,5]"), "12345"), Contains("b: there is a gap"));
  CHECK_THAT(refusal(two("[1,3]", "[3,5]"), "12345"), Contains("a: there is a gap"));
  CHECK_THAT(refusal(two("[0,2]", "[1,3]"), "123"), Contains("b: data overlaps"));
  CHECK_THAT(refusal(two("[0,2]", "[0,2]"), "12"), Contains("b: data overlaps"));
}

TEST_CASE("safetensors: headers of another form are refused") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not valid JSON"},
      {"[]", "an array where none belongs"},
      {"3", "a number where none belongs"},
      {"{} {}", "not valid JSON"},
      {std::string("{}\0{", 4), "a NUL byte"},
      {R"({"a":1})", "a number where none belongs (after key 'a')"},
      {R"({"a":{}})", "a: 'dtype' is missing"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,0]}})", "a: 'shape' is missing"},
      {R"({"a":{"dtype":"F32","shape":[]}})", "a: 'data_offsets' is not a pair"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}})", "is not a pair"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}})",
       "a: 'data_offsets' is too long"},
      {R"({"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}})", "a: dtype is not supported"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}})", "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[[0]],"data_offsets":[0,0]}})",
       "an array where none belongs"},
      {R"({"a":{"dtype":"F32","shape":{"x":{}},"data_offsets":[0,0]}})", "an object where none"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})", "a: unknown key 'x'"},
      {R"({"a":{"shape":[],"shape":[0],"dtype":"F32","data_offsets":[0,0]}})",
       "a: duplicate key 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[],"data_offsets":[0,0]}})",
       "a: duplicate key"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})", "duplicate key 'a'"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", "duplicate metadata key 'k'"},
      {R"({"__metadata__":{"k":1}})", "a number where none belongs"},
      {R"({"__metadata__":{},"__metadata__":{}})", "duplicate key '__metadata__'"},
      {R"({"\u0001":1})", "'\\x01'"},
      {"{\"\xff\":1}", "not valid JSON"},
  };
  for (const auto& [header, words] : cases) {
    INFO(header);
    const std::string message = refusal(header, "");
    CHECK_THAT(message, Contains(words));
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("safetensors: deep nesting and long shapes end early") {
  CHECK_THAT(refusal(std::string(1'000'000, '['), ""), Contains("an array where none belongs"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += R"({"dtype":)";
  CHECK_THAT(refusal(deep, ""), Contains("an object where none belongs"));
  std::string shape = "1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,1]}})", "1"),
      Contains("a: 'shape' is too long"));
}

TEST_CASE("safetensors: an index that does not match its shards is refused") {
  const TemporaryFolder folder;
  const auto index = [&](const Json& map) {
    write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
    try {
      const SafetensorsFolder stored(folder.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  write_safetensors(folder / "1.safetensors", {bytes_tensor("a", "1"), bytes_tensor("b", "2")});
  write_safetensors(folder / "2.safetensors", {bytes_tensor("c", "3")});
  CHECK(index({{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "2.safetensors"}}) ==
        "accepted");
  CHECK_THAT(index({{"a", "1.safetensors"}}), Contains("1.safetensors: b: tensor is not listed"));
  CHECK_THAT(index({{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "1.safetensors"}}),
             Contains("has no tensor 'c'"));
  CHECK_THAT(index({{"a", "../1.safetensors"}}), Contains("plain file name"));
  CHECK_THAT(index({{"a", "gone.safetensors"}}), Contains("gone.safetensors"));
  CHECK_THAT(index({{"a", 3}}), Contains("'a' has the wrong type"));
  CHECK_THAT(index(Json::array()), Contains("'weight_map' has the wrong type"));
}

TEST_CASE("safetensors: a folder with pickles only says so") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(SafetensorsFolder(folder.path()), Contains("holds no model.safetensors"));
  write_file_atomic(folder / "pytorch_model.bin", "x");
  CHECK_THROWS_WITH(SafetensorsFolder(folder.path()),
                    Contains("pytorch_model.bin is not read; convert it once: python -c"));
}

}  // namespace
}  // namespace gradus
